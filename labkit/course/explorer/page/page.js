"use strict";
// The page: controls, the best subnet and its place on the front, boards, and predictions.

const data = JSON.parse(document.getElementById("data").textContent);
const spaces = data.spaces.map(unpackSpace);
const fronts = new Map(); // of each device that was looked at
const state = { space: spaces[0], device: null, limits: [] };
const $ = (id) => document.getElementById(id);

/** An element: `attributes` that are null are left out, children are elements or texts. */
function element(tag, attributes = {}, ...children) {
  const isSvg = ["svg", "g", "rect", "text", "line", "path", "circle"].includes(tag);
  const made = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const plain = (value, digits) => String(Number(value.toPrecision(digits)));
// A simulated latency is never better than two digits.
const digitsOf = (device) => (device.kind === "measured" ? 3 : 2);
const milliseconds = (value, device) => `${plain(value, digitsOf(device))} ms`;
const kibibytes = (bytes) => `${plain(bytes / 1024, 3)} KiB`;
const millions = (macs) => `${plain(macs / 1e6, 3)} M`;

/** `count` limits from the quickest subnet to the slowest, rounded up to what is shown. */
function limitsOf(front, device, count = 200) {
  const low = front[0].latency, high = front.at(-1).latency, digits = digitsOf(device);
  const limits = Array.from({ length: count }, (_, i) => {
    const limit = low * (high / low) ** (i / (count - 1));
    const unit = 10 ** (Math.floor(Math.log10(limit)) + 1 - digits);
    return Number((Math.ceil(limit / unit - 1e-9) * unit).toPrecision(digits));
  });
  return [...new Set(limits)];
}

// ---- controls ------------------------------------------------------------------------------------

/** Where accuracies without a known error come from: what their label begins with. */
function originOf(space) {
  return space.accuracy.label.split(":")[0];
}

function fillSpaces() {
  $("space").replaceChildren(...spaces.map((space, i) => {
    const note = space.accuracy.rmse === null ? ` (accuracies ${originOf(space)})` : "";
    return element("option", { value: i }, space.title + note);
  }));
  $("space").value = spaces.indexOf(state.space);
}

function fillDevices() {
  const groups = ["measured", "simulated"].map((kind) => {
    const options = state.space.devices.flatMap((device, i) =>
      device.kind === kind ? [element("option", { value: i }, device.title)] : []);
    return options.length ? [element("optgroup", { label: kind }, ...options)] : [];
  });
  $("device").replaceChildren(...groups.flat());
}

function chooseSpace(space) {
  state.space = space;
  const count = BigInt(space.size).toLocaleString("en");
  $("lead").textContent = `One network, trained once, holds ${count} subnets. Choose a device and `
    + "how long it may take for an image: the best of them is searched here, exactly.";
  fillSpaces();
  fillDevices();
  chooseDevice(space.devices[Number($("device").value)]);
}

function chooseDevice(device) {
  const { space } = state;
  state.device = device;
  $("device").value = space.devices.indexOf(device);
  if (!fronts.has(device)) fronts.set(device, exactFront(space, device));
  state.limits = limitsOf(fronts.get(device), device);
  $("limit").max = state.limits.length - 1;
  $("limit").value = Math.floor(state.limits.length / 2);
  show();
}

// ---- the answer ----------------------------------------------------------------------------------

function show() {
  const { space, device, limits } = state;
  const front = fronts.get(device), limit = limits[Number($("limit").value)];
  const subnet = bestWithin(front, limit);
  const limitText = `${milliseconds(limit, device)} (${device.label})`;
  $("limit-text").textContent = limitText;
  $("limit").setAttribute("aria-valuetext", limitText);
  const room = device.sramBytes === null ? "activations alive at once"
    : `memory arena, of ${kibibytes(device.sramBytes)}`;
  const error = space.accuracy.rmse === null ? originOf(space)
    : `predicted, ± ${plain(space.accuracy.rmse, 2)} typically`;
  $("figures").replaceChildren(
    figure("Accuracy", `${subnet.accuracy.toFixed(2)} %`, error),
    figure("Latency", milliseconds(subnet.latency, device), device.label),
    figure("Multiply-adds", millions(subnet.macs), "for one image"),
    figure("Memory", kibibytes(subnet.memory), room),
  );
  const arch = archOf(space, subnet), text = archText(arch);
  $("arch-text").textContent = text;
  $("arch").replaceChildren(drawArch(space, arch, text));
  $("front").replaceChildren(drawFront(device, front, limit, subnet));
  $("source").textContent = "On the front are the subnets for which no other one is nowhere worse "
    + `and somewhere better. Latency on ${device.title}: ${device.label}. Accuracy: `
    + `${space.accuracy.label}.`;
}

function figure(name, value, note) {
  return element("div", {}, element("dt", {}, name),
    element("dd", {}, value, element("small", {}, note)));
}

/** As Python writes it: 28px x0.5 k3e2 | k5e4 k3e3. */
function archText({ resolution, width, stages }) {
  const blocks = stages.map((stage) => stage.map(([k, e]) => `k${k}e${e}`).join(" "));
  return `${resolution}px ${width === undefined ? "" : `x${width} `}${blocks.join(" | ")}`;
}

/** The subnet's blocks lit up in the outline of the supernet. */
function drawArch(space, arch, text) {
  const total = space.blockCount + 0.5 * (space.stages.length - 1), unit = 960 / total;
  const widest = Math.max(...space.stages.flatMap((stage) => stage.expands));
  const share = (arch.width ?? 1) / Math.max(...space.globals.map(([, width]) => width));
  const half = 62, middle = 92;
  const svg = element("svg", { viewBox: "0 0 960 184", role: "img",
    "aria-label": `Blocks of the subnet ${text}; a block's height is its share of the channels` });
  const [resolution, width] = [arch.resolution, arch.width ?? 1];
  const count = arch.stages.flat().length;
  svg.append(element("text", { x: 0, y: 14, class: "quiet" },
    `${resolution} × ${resolution} pixels${space.globals.some(([, w]) => w !== 1) ? `, ${width} × width` : ""}, `
    + `${count} block${count === 1 ? "" : "s"}; height: channels, label: kernel size`));
  space.stages.forEach((stage, s) => {
    const left = unit * (stage.first + 0.5 * s), step = 0.86 * unit;
    const block = (i, expand, kind) => {
      const height = 2 * half * (expand / widest);
      return element("rect", { x: left + i * unit, y: middle - height / 2, width: step, height,
        rx: 3, class: kind });
    };
    for (let i = 0; i < stage.maxDepth; i++) {
      svg.append(block(i, Math.max(...stage.expands), "outline"));
    }
    arch.stages[s].forEach(([kernel, expand], i) => {
      const color = [3, 5, 7].includes(kernel) ? `k${kernel}` : "k";
      const isLow = 2 * half * share * (expand / widest) < 16;
      svg.append(block(i, share * expand, color), element("text", { "text-anchor": "middle",
        x: left + i * unit + step / 2, y: isLow ? middle - 14 : middle + 4.5,
        class: isLow ? null : `in-${color}` }, `${kernel}×${kernel}`));
    });
    svg.append(element("text", { x: left, y: 176, class: "quiet" },
      `stage ${s}, ${stage.width} channels`));
  });
  return svg;
}

/** Round numbers from `low` to `high`. */
function roundNumbers(low, high, isLog) {
  if (isLog) {
    const steps = high / low > 100 ? [1, 3] : high / low > 12 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    const numbers = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      numbers.push(...steps.map((step) => Number((step * 10 ** e).toPrecision(2))));
    }
    return numbers.filter((each) => each >= low && each <= high);
  }
  const rough = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((each) => each * unit >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(6)));
}

/** The front, the limit, and the subnet; a click sets the limit. */
function drawFront(device, front, limit, subnet) {
  const box = { left: 56, right: 944, top: 30, bottom: 306 };
  const low = front[0].latency / 1.05, high = Math.max(front.at(-1).latency, limit) * 1.05;
  const accuracies = [front[0].accuracy, front.at(-1).accuracy];
  const margin = 0.06 * (accuracies[1] - accuracies[0]) + 0.02;
  const bottom = accuracies[0] - margin, top = accuracies[1] + margin;
  const x = (ms) => box.left + (Math.log(ms / low) / Math.log(high / low)) * (box.right - box.left);
  const y = (accuracy) =>
    box.bottom - ((accuracy - bottom) / (top - bottom)) * (box.bottom - box.top);
  const best = `${subnet.accuracy.toFixed(2)} % at ${milliseconds(subnet.latency, device)}`;
  const svg = element("svg", { viewBox: "0 0 960 352", role: "img", "aria-label":
    `Predicted accuracy against latency (${device.label}): from `
    + `${accuracies[0].toFixed(2)} % at ${milliseconds(front[0].latency, device)} to `
    + `${accuracies[1].toFixed(2)} % at ${milliseconds(front.at(-1).latency, device)}; `
    + `the best within ${milliseconds(limit, device)} has ${best}` });
  for (const ms of roundNumbers(low, high, true)) {
    svg.append(element("line", { x1: x(ms), x2: x(ms), y1: box.top, y2: box.bottom, class: "grid" }),
      element("text", { x: x(ms), y: box.bottom + 18, "text-anchor": "middle" }, String(ms)));
  }
  for (const accuracy of roundNumbers(bottom, top, false)) {
    const at = y(accuracy);
    svg.append(element("line", { x1: box.left, x2: box.right, y1: at, y2: at, class: "grid" }),
      element("text", { x: box.left - 8, y: at + 4, "text-anchor": "end" }, String(accuracy)));
  }
  const steps = front.map((each, i) => `${i ? "H" : "M"}${x(each.latency)}${i ? "V" : ","}${y(each.accuracy)}`);
  const isRight = x(subnet.latency) > 640;
  svg.append(
    element("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "axis" }),
    element("text", { x: box.right, y: box.bottom + 38, "text-anchor": "end", class: "quiet" },
      `latency, ms (${device.label})`),
    element("text", { x: 8, y: 14, class: "quiet" }, "predicted accuracy, %"),
    element("path", { d: `${steps.join("")}H${box.right}`, class: "line" }),
    element("line", { x1: x(limit), x2: x(limit), y1: box.top, y2: box.bottom, class: "limit" }),
    element("circle", { cx: x(subnet.latency), cy: y(subnet.accuracy), r: 7, class: "dot" }),
    element("text", { x: x(subnet.latency) + (isRight ? -14 : 14), y: y(subnet.accuracy) + 24,
      "text-anchor": isRight ? "end" : "start" }, best),
  );
  svg.addEventListener("click", (event) => {
    const { left, width } = svg.getBoundingClientRect();
    const share = ((event.clientX - left) / width * 960 - box.left) / (box.right - box.left);
    const ms = low * (high / low) ** share;
    const above = state.limits.findIndex((each) => each >= ms);
    $("limit").value = above < 0 ? state.limits.length - 1 : above;
    show();
  });
  return svg;
}

// ---- a board of one's own ------------------------------------------------------------------------

async function addBoard(file) {
  const status = $("board-text");
  try {
    const content = JSON.parse(await file.text());
    const space = spaceOfFile(spaces, content), latency = latencyTable(space, content);
    const name = [content.made?.cpu, content.made?.runtime].filter(Boolean).join(", ");
    const device = { title: `${name || "a board"} (${file.name})`, kind: "measured",
      label: "measured", bytesPerValue: 4, sramBytes: null, latency, front: null };
    space.devices.push(device);
    chooseSpace(space);
    chooseDevice(device);
    status.className = "";
    status.textContent = `Searching on ${device.title}. Whether it kept its speed while it was `
      + "measured, `labkit lut import` checks.";
  } catch (error) {
    status.className = "error";
    const reason = error instanceof SyntaxError ? "this is no JSON file" : error.message;
    status.textContent = `${file.name}: ${reason}.`;
  }
}

// ---- predictions ---------------------------------------------------------------------------------

function ask(prediction, i, answers) {
  const figureOf = (value) => `${value.toLocaleString("en")} ${prediction.unit}`;
  const input = element("input", { type: "number", step: "any", min: 0, id: `guess-${i}`,
    "aria-label": `your guess, in ${prediction.unit}` });
  const commit = element("button", { disabled: "" }, "Show the result");
  const skip = element("button", { type: "button" }, "Skip");
  const form = element("form", {}, input, prediction.unit, commit, skip);
  const item = element("li", {}, prediction.question, form);
  const answer = (guess) => {
    for (const control of [input, commit, skip]) control.disabled = true;
    const start = guess === null ? "You made no guess; the result is"
      : `You guessed ${figureOf(guess)}; the result is`;
    item.append(element("p", { class: "result", role: "status" }, `${start} `,
      element("strong", {}, figureOf(prediction.result)), `. ${prediction.lesson}`));
    answers[i] = [prediction.name, guess === null ? "–" : figureOf(guess), figureOf(prediction.result)];
    if (Object.keys(answers).length === data.predictions.length) summarize(answers);
  };
  input.addEventListener("input", () => { commit.disabled = input.value === "" || !input.validity.valid; });
  form.addEventListener("submit", (event) => { event.preventDefault(); answer(input.valueAsNumber); });
  skip.addEventListener("click", () => answer(null));
  return item;
}

function summarize(answers) {
  const rows = Object.values(answers).map((cells) =>
    element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  $("summary").querySelector("tbody").replaceChildren(...rows);
  $("summary").hidden = false;
}

// ---- start ---------------------------------------------------------------------------------------

$("space").addEventListener("change", () => chooseSpace(spaces[Number($("space").value)]));
$("device").addEventListener("change", () =>
  chooseDevice(state.space.devices[Number($("device").value)]));
$("limit").addEventListener("input", show);
$("file").addEventListener("change", () => {
  if ($("file").files.length) addBoard($("file").files[0]);
  $("file").value = ""; // so that the same file can be chosen again
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) addBoard(event.dataTransfer.files[0]);
  });
}
const answers = {};
$("questions").append(...data.predictions.map((each, i) => ask(each, i, answers)));
$("predictions").hidden = !data.predictions.length;
$("asked").textContent = `Three experiments with the supernet ${data.asked}. The result of each shows `
  + "once you have committed to a number.";
$("made").textContent = `Made by labkit ${data.version}. Every latency says whether it was measured `
  + "or simulated. What was chosen by prediction still has to be measured, on images that did not "
  + "choose it.";
chooseSpace(state.space);
