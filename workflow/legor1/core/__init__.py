"""What every other package stands on: errors, files, boxes, images, seeds, records."""
