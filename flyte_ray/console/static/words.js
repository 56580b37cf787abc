// Write numbers as people read them.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** Write a duration in milliseconds: `12 ms`, `3.4 s`, `5 min 12 s`, `2 h 5 min`. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return join(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return join(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return join(Math.floor(hours / 24), "d", hours % 24, "h");
}

function join(large, unit, small, part) {
  return small ? `${large} ${unit} ${small} ${part}` : `${large} ${unit}`;
}

/** Write a moment, in µs since the epoch, in the reader's zone: today's as a time, others with the date. */
export function moment(us) {
  if (!us) return "";
  const date = new Date(us / 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return date.toDateString() === new Date().toDateString() ? time : `${day(date)} ${time}`;
}

function day(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Write how long ago a moment was. */
export function ago(us) {
  if (!us) return "";
  const ms = Date.now() - us / 1000;
  return ms < 5000 ? "just now" : `${span(ms / 1000)} ago`;
}

/** Write how long it is until a moment. */
export function until(us) {
  if (!us) return "";
  const ms = us / 1000 - Date.now();
  return ms < 1000 ? "now" : `in ${span(ms / 1000)}`;
}

function span(seconds) {
  const [size, unit] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ].find(([size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** Write a size. */
export function bytes(size) {
  if (size === null || size === undefined) return "";
  let unit = 0;
  let left = size;
  while (left >= 1000 && unit < UNITS.length - 1) {
    left /= 1000;
    unit += 1;
  }
  return `${unit && left < 10 ? left.toFixed(1) : Math.round(left)} ${UNITS[unit]}`;
}

/** Write a number with its thousands apart. */
export function count(number) {
  return number.toLocaleString("en-US");
}

/** Write a number of things, one or several. */
export function counted(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}

/** Cut the environment off a task's name where there is little room. */
export function shortTask(name) {
  return name.slice(name.indexOf(".") + 1);
}

/** Cut an id where there is little room: eight of its characters tell it from others of a run. */
export function shortId(id) {
  return id.length > 12 ? id.slice(0, 8) : id;
}
