"use strict";
// Exact search in a browser: the whole front of accuracy and latency, and tables of boards.
//
// Given the global choice (a resolution and a width), latency and the predictor's score are sums
// over stages. A subnet on the front then consists of stage configurations that are on the fronts
// of their stages, so fronts of stages are merged one after another: labkit/search/exact_front.py
// is the same in Python, and proves it.
//
// A configuration is a number: those of the first depth, then those of the next one, and for each
// depth all choices of its blocks, the first block leading. A choice of a block is
// (number of its kernel) * (number of expand ratios) + (number of its expand ratio).

/** The numbers that Python has packed as base64. */
function numbers(packed, type) {
  return new type(Uint8Array.from(atob(packed), (byte) => byte.charCodeAt(0)).buffer);
}

/** A space with its tables unpacked, and with where things are in them. */
function unpackSpace(packed) {
  let first = 0;
  const stages = packed.stages.map((stage) => {
    const choices = stage.kernels.length * stage.expands.length;
    const offsets = [0]; // of each depth's configurations; the last one is their number
    for (const depth of stage.depths) offsets.push(offsets.at(-1) + choices ** depth);
    const maxDepth = Math.max(...stage.depths);
    first += maxDepth;
    return { ...stage, choices, offsets, maxDepth, first: first - maxDepth, size: offsets.at(-1) };
  });
  const table = ({ base, blocks }) => ({
    base: numbers(base, Float64Array),
    blocks: numbers(blocks, Float64Array),
  });
  return {
    ...packed,
    stages,
    blockCount: first,
    kernelCount: Math.max(...stages.map((stage) => stage.kernels.length)),
    expandCount: Math.max(...stages.map((stage) => stage.expands.length)),
    accuracy: {
      ...packed.accuracy,
      base: numbers(packed.accuracy.base, Float64Array),
      terms: packed.accuracy.terms.map((terms) => numbers(terms, Float32Array)),
    },
    macs: table(packed.macs),
    values: table(packed.values),
    timed: {
      keys: packed.timed.keys,
      stems: numbers(packed.timed.stems, Int32Array),
      heads: numbers(packed.timed.heads, Int32Array),
      blocks: numbers(packed.timed.blocks, Int32Array),
    },
    devices: packed.devices.map((device) => ({ ...device, latency: table(device.latency) })),
  };
}

/** Where a block table has its entry of a block's choice. */
function entryIndex(space, stage, globalChoice, block, choice) {
  const expands = stage.expands.length;
  const kernel = Math.floor(choice / expands);
  const row = (globalChoice * space.blockCount + stage.first + block) * space.kernelCount + kernel;
  return row * space.expandCount + (choice % expands);
}

/** The choices of a configuration's blocks. */
function blockChoices(stage, config) {
  const d = stage.depths.findIndex((_, i) => config < stage.offsets[i + 1]);
  const choices = [];
  let rest = config - stage.offsets[d];
  for (let i = 0; i < stage.depths[d]; i++) {
    choices.unshift(rest % stage.choices);
    rest = Math.floor(rest / stage.choices);
  }
  return choices;
}

/** What every configuration of a stage adds to a cost. */
function stageTerms(space, table, globalChoice, stage) {
  const terms = new Float64Array(stage.size);
  let sums = new Float64Array(1); // of all choices of the blocks so far
  for (let block = 0; block < stage.maxDepth; block++) {
    const longer = new Float64Array(sums.length * stage.choices);
    for (let choice = 0; choice < stage.choices; choice++) {
      const entry = table.blocks[entryIndex(space, stage, globalChoice, block, choice)];
      for (let i = 0; i < sums.length; i++) longer[i * stage.choices + choice] = sums[i] + entry;
    }
    sums = longer;
    const d = stage.depths.indexOf(block + 1);
    if (d >= 0) terms.set(sums, stage.offsets[d]);
  }
  return terms;
}

/** The cost of one subnet: `combine` puts its parts together, a sum or a maximum. */
function costOf(space, table, subnet, combine) {
  const stages = subnet.configs.map((config, s) => {
    const stage = space.stages[s];
    return blockChoices(stage, config)
      .map((choice, i) => table.blocks[entryIndex(space, stage, subnet.globalChoice, i, choice)])
      .reduce(combine);
  });
  return combine(stages.reduce(combine), table.base[subnet.globalChoice]);
}

const add = (a, b) => a + b;
const larger = (a, b) => Math.max(a, b);

/** Indices of the points that no other one dominates, by ascending cost and value. */
function paretoFront(cost, value) {
  let low = Infinity, high = -Infinity;
  for (const each of cost) {
    if (each < low) low = each;
    if (each > high) high = each;
  }
  // Nearly all points are dominated by far: one that is worth no more than some point in a cheaper
  // bucket of costs need not be sorted.
  const best = new Float64Array(256).fill(-Infinity);
  const scale = high > low ? (best.length - 1) / (high - low) : 0;
  const bucketOf = (i) => Math.floor((cost[i] - low) * scale);
  for (let i = 0; i < cost.length; i++) {
    const bucket = bucketOf(i);
    if (value[i] > best[bucket]) best[bucket] = value[i];
  }
  let cheaper = -Infinity;
  const floor = best.map((each) => {
    const before = cheaper;
    cheaper = Math.max(cheaper, each);
    return before;
  });
  const candidates = [];
  for (let i = 0; i < cost.length; i++) if (value[i] > floor[bucketOf(i)]) candidates.push(i);
  candidates.sort((i, j) => cost[i] - cost[j] || value[j] - value[i]);
  let highest = -Infinity;
  return candidates.filter((i) => {
    const rises = value[i] > highest;
    if (rises) highest = value[i];
    return rises;
  });
}

/** Points at `indices`: their costs, their values, and for each stage their configurations. */
function take(points, indices) {
  const at = (array) => Float64Array.from(indices, (i) => array[i]);
  return { cost: at(points.cost), value: at(points.value), configs: points.configs.map(at) };
}

/** The front of all sums of a point of `front` and a configuration of the next stage. */
function mergeStage(front, stage) {
  const n = stage.cost.length;
  const cost = new Float64Array(front.cost.length * n), value = new Float64Array(cost.length);
  for (let i = 0, at = 0; i < front.cost.length; i++) {
    for (let j = 0; j < n; j++, at++) {
      cost[at] = front.cost[i] + stage.cost[j];
      value[at] = front.value[i] + stage.value[j];
    }
  }
  const points = paretoFront(cost, value);
  const head = take(front, points.map((at) => Math.floor(at / n)));
  const tail = take(stage, points.map((at) => at % n));
  const at = (array) => Float64Array.from(points, (i) => array[i]);
  return { cost: at(cost), value: at(value), configs: [...head.configs, ...tail.configs] };
}

/** Predicted accuracy in percent: 100 - exp(-score) where the score is a link of it. */
function accuracyOf(space, score) {
  return space.accuracy.link === "log error" ? 100 - Math.exp(-score) : score;
}

/** The exact front of a device: subnets by ascending latency (ms) and accuracy (%). */
function exactFront(space, device) {
  if (device.front) return packedFront(space, device);
  const subnets = [], latency = [], accuracy = [];
  space.globals.forEach((_, globalChoice) => {
    let front = null;
    space.stages.forEach((stage, s) => {
      const start = globalChoice * stage.size;
      const value = space.accuracy.terms[s].subarray(start, start + stage.size);
      const cost = stageTerms(space, device.latency, globalChoice, stage);
      const all = { cost, value, configs: [Array.from(cost, (_, config) => config)] };
      const stageFront = take(all, paretoFront(cost, value));
      front = front ? mergeStage(front, stageFront) : stageFront;
    });
    front.cost.forEach((cost, i) => {
      latency.push(cost + device.latency.base[globalChoice]);
      accuracy.push(accuracyOf(space, front.value[i] + space.accuracy.base[globalChoice]));
      subnets.push({ globalChoice, configs: front.configs.map((configs) => configs[i]) });
    });
  });
  return paretoFront(latency, accuracy).map((i) =>
    described(space, device, subnets[i], latency[i], accuracy[i]),
  );
}

/** The front of a device whose memory is a limit, which Python has searched. */
function packedFront(space, device) {
  const { memory, subnets } = device.front;
  const rows = numbers(subnets, Int32Array), width = 1 + space.stages.length;
  return Array.from(numbers(memory, Int32Array), (bytes, i) => {
    const [globalChoice, ...configs] = rows.subarray(i * width, (i + 1) * width);
    const subnet = { globalChoice, configs };
    const terms = configs.map(
      (config, s) => space.accuracy.terms[s][globalChoice * space.stages[s].size + config],
    );
    const accuracy = accuracyOf(space, terms.reduce(add) + space.accuracy.base[globalChoice]);
    const latency = costOf(space, device.latency, subnet, add);
    return { ...described(space, device, subnet, latency, accuracy), memory: bytes };
  });
}

function described(space, device, subnet, latency, accuracy) {
  const memory = device.bytesPerValue * costOf(space, space.values, subnet, larger);
  return { ...subnet, latency, accuracy, macs: costOf(space, space.macs, subnet, add), memory };
}

/** The most accurate subnet of a front within a latency limit; undefined where none is that fast. */
function bestWithin(front, limit) {
  let low = 0, high = front.length; // the first subnet that is too slow is in [low, high]
  while (low < high) {
    const middle = (low + high) >> 1;
    if (front[middle].latency <= limit) low = middle + 1;
    else high = middle;
  }
  return front[low - 1];
}

/** A subnet as labkit writes it: the resolution, the width where it is not 1, blocks by stages. */
function archOf(space, subnet) {
  const [resolution, width] = space.globals[subnet.globalChoice];
  const stages = subnet.configs.map((config, s) => {
    const { kernels, expands } = space.stages[s], n = expands.length;
    return blockChoices(space.stages[s], config).map(
      (choice) => [kernels[Math.floor(choice / n)], expands[choice % n]],
    );
  });
  return width === 1 ? { resolution, stages } : { resolution, width, stages };
}

/** The subnet of an arch; throws an Error for an arch of another space. */
function subnetOf(space, arch) {
  const width = arch.width ?? 1;
  const globalChoice = space.globals.findIndex((g) => g[0] === arch.resolution && g[1] === width);
  const configs = space.stages.map((stage, s) => {
    const blocks = arch.stages[s], d = stage.depths.indexOf(blocks.length);
    const choices = blocks.map(([kernel, expand]) => {
      const k = stage.kernels.indexOf(kernel), e = stage.expands.indexOf(expand);
      return k < 0 || e < 0 ? NaN : k * stage.expands.length + e;
    });
    return stage.offsets[d] + choices.reduce((code, choice) => code * stage.choices + choice, 0);
  });
  if (globalChoice < 0 || arch.stages.length !== space.stages.length || configs.some(isNaN)) {
    throw new Error(`the file measures a subnet that space ${space.name} does not have`);
  }
  return { globalChoice, configs };
}

/** Latency in ms of the space's blocks from a latency file that a kit wrote on a board.
 *
 * Calibrated on the file's whole subnets, of the space's resolutions, as labkit does it. Throws an
 * Error that says what is wrong with the file. */
function latencyTable(space, file) {
  const milliseconds = Array.from(space.timed.keys, (key) => file.pieces[key]?.median_ms);
  const bad = milliseconds.findIndex((ms) => !(ms >= 1e-4 && ms <= 6e4));
  if (bad >= 0) throw new Error(`the file has no usable time of block ${space.timed.keys[bad]}`);
  const { stems, heads, blocks } = space.timed;
  const raw = {
    base: Float64Array.from(stems, (stem, i) => milliseconds[stem] + milliseconds[heads[i]]),
    blocks: Float64Array.from(blocks, (block) => (block < 0 ? NaN : milliseconds[block])),
  };
  const subnets = file.subnets.filter(({ arch }) =>
    space.globals.some(([resolution]) => resolution === arch.resolution));
  if (subnets.length < 4) return raw;
  const rows = subnets.map(({ arch, median_ms: ms }) => {
    const subnet = subnetOf(space, arch);
    const count = arch.stages.reduce((sum, blocks) => sum + blocks.length, 0);
    return [costOf(space, raw, subnet, add) / ms, 1 / ms, count / ms];
  });
  const [factor, intercept, perBlock] = leastSquares(rows);
  return {
    base: raw.base.map((ms) => intercept + factor * ms),
    blocks: raw.blocks.map((ms) => factor * ms + perBlock),
  };
}

/** The x for which rows * x is nearest to 1; 0 for a column that those before it make up. */
function leastSquares(rows) {
  const columns = rows[0].map((_, j) => rows.map((row) => row[j]));
  const dot = (a, b) => a.reduce((sum, each, i) => sum + each * b[i], 0);
  const basis = [], upper = columns.map(() => []);
  columns.forEach((column, j) => {
    let rest = column;
    basis.forEach((unit, i) => {
      upper[i][j] = dot(unit, rest);
      rest = rest.map((each, n) => each - upper[i][j] * unit[n]);
    });
    const length = Math.sqrt(dot(rest, rest));
    upper[j][j] = length > 1e-10 * Math.sqrt(dot(column, column)) ? length : Infinity;
    basis.push(rest.map((each) => each / upper[j][j]));
  });
  const x = columns.map(() => 0);
  for (let i = x.length - 1; i >= 0; i--) {
    let rest = basis[i].reduce(add);
    for (let j = i + 1; j < x.length; j++) rest -= upper[i][j] * x[j];
    x[i] = rest / upper[i][i];
  }
  return x;
}

/** The space of a latency file among `spaces`; throws an Error that says why there is none. */
function spaceOfFile(spaces, file) {
  if (file?.what !== "latency" || file.schema !== 1 || !file.pieces || !file.subnets) {
    throw new Error("this is not the latency.json that a kit of labkit writes");
  }
  const space = spaces.find((each) => each.sha256 === file.space_sha256);
  if (!space) throw new Error(`it was measured for space ${file.space}, which this page lacks`);
  return space;
}

if (typeof module === "object") {
  module.exports = { unpackSpace, exactFront, bestWithin, archOf, latencyTable, spaceOfFile };
}
