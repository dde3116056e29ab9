// The filters work without this script. It keeps them in the page's address, so that a reload or a
// link shows the same; it counts what each option would show, and says when there is nothing.
const form = document.querySelector(".filters");
const key = input => input.id.slice(input.name.length + 1);
const examples = [...document.querySelectorAll(".example")].map(example => ({
  task: [example.classList[1]],
  reason: example.dataset.reason.split(" "),
  answers: [...example.querySelectorAll(".answer")].map(answer =>
    ({by: answer.classList[1].slice(3), mark: answer.dataset.mark})),
}));

// What is chosen: the key of each single filter, and of the experiments, those ticked.
function chosen() {
  const data = {by: []};
  for (const input of form.querySelectorAll("input[name]:checked")) {
    if (input.name === "by") data.by.push(key(input));
    else data[input.name] = key(input);
  }
  return data;
}

function matches(example, {task, reason, mark, by}) {
  const answers = example.answers.filter(answer => by.includes(answer.by));
  return by.length > 0
    && (task === "all" || example.task.includes(task))
    && (reason === "all" || example.reason.includes(reason))
    && (mark === "all" || answers.some(answer => answer.mark === mark));
}

function count(filters) {
  return examples.filter(example => matches(example, filters)).length;
}

function show() {
  const filters = chosen();
  for (const input of form.querySelectorAll("input[name]")) {
    const number = input.parentElement.querySelector("small");
    const one = input.name === "by" ? {by: [key(input)]} : {[input.name]: key(input)};
    if (number) number.textContent = count({...filters, ...one});
  }
  document.getElementById("no-match").hidden = !filters.by.length || count(filters) > 0;
}

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const input of form.querySelectorAll("input[name]")) {
    const keys = given.get(input.name)?.split(",");
    if (keys) input.checked = keys.includes(key(input));
  }
  show();
}

function write() {
  const {by, ...single} = chosen();
  const given = Object.entries(single).filter(([, value]) => value !== "all");
  if (form.querySelector("[name=by]:not(:checked)")) given.push(["by", by.join(",")]);
  const hash = new URLSearchParams(given).toString().replaceAll("%2C", ",");
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  show();
  const list = document.getElementById("examples");
  if (list.getBoundingClientRect().top < 0) list.scrollIntoView();
}

if (form) {
  form.addEventListener("change", event => event.target.name && write());
  form.addEventListener("reset", () => setTimeout(write));
  addEventListener("hashchange", read);
  read();
}
