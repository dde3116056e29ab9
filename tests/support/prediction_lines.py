"""A line of a file of predictions, as the tests of the metrics write them."""


def line(name, task, prediction, reference, **more):
    row = {"instance_id": name, "task": task, "prediction": prediction, "reference": reference}
    return row | more
