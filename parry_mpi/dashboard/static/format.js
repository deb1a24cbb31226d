// Numbers and times as people read them. This module must not know the page.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** "724", "14,200", "1.02 M": all digits while they fit, then three of them. */
export function count(number) {
  if (!Number.isFinite(number)) return "–";
  if (Math.abs(number) < 100000) return whole.format(number);
  let rest = number;
  for (const unit of ["k", "M", "G", "T", "P"]) {
    rest /= 1000;
    if (Math.abs(rest) < 999.5 || unit === "P") {
      const digits = Math.abs(rest) < 9.995 ? 2 : Math.abs(rest) < 99.95 ? 1 : 0;
      return `${rest.toFixed(digits)} ${unit}`;
    }
  }
  return "–";
}

/** "29.6 %", rounded down, so that nothing is called all before it is. */
export function share(part) {
  return `${(Math.floor(Math.min(Math.max(part, 0), 1) * 1000 + 1e-9) / 10).toFixed(1)} %`;
}

/** "0.3 s", "12 s", "3:25", "2:03:25", "1 d 02:03". */
export function time(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const two = (part) => String(part).padStart(2, "0");
  const [d, h, m, s] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  if (d) return `${d} d ${two(h)}:${two(m)}`;
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A length of time in rough words, for what is only estimated: "40 s", "12 min", "3.4 h", "2.1 d". */
export function roughly(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${(seconds / 3600).toFixed(1)} h`;
  return seconds < 86400 * 1000 ? `${(seconds / 86400).toFixed(1)} d` : `${count(seconds / 31557600)} years`;
}

/** The time of day; with the date if that is not today's. */
export function moment(secondsSince1970) {
  const at = new Date(secondsSince1970 * 1000);
  return Date.now() - at.getTime() < 64800000 ? clock.format(at) : day.format(at);
}
