#include "fathom/report/ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom::report {
namespace {

constexpr long double kTiny = 1e-12L;  // of a step: what rounding leaves

int exponent_of(long double value) {
  return static_cast<int>(std::floor(std::log10(value) + kTiny));
}

// 1, 2 or 5 times a power of ten, at least `step`.
long double round_step(long double step) {
  const long double power = std::pow(10.0L, exponent_of(step));
  for (const int nice : {1, 2, 5})
    if (nice * power >= step * (1 - 1e-9L)) return nice * power;
  return 10 * power;
}

// "1.50e-05" -> "1.5e-5".
std::string with_short_exponent(std::string text) {
  size_t e = text.find('e');
  if (e == text.npos) return text;
  while (text.find('.') < e && (text[e - 1] == '0' || text[e - 1] == '.')) text.erase(--e, 1);
  const bool negative = text[e + 1] == '-';
  const size_t digits = std::min(text.find_first_not_of("+-0", e + 1), text.size() - 1);
  return text.substr(0, e + 1) + (negative ? "-" : "") + text.substr(digits);
}

// With as many digits as tell steps of `step` apart; `largest` of the axis decides the unit.
std::string tick_label(long double value, long double step, long double largest) {
  if (std::abs(value) < step * 1e-6L) return "0";
  const int last = exponent_of(step);
  if (largest >= 1e15L || largest < 1e-3L) {
    const int digits = std::clamp(exponent_of(std::abs(value)) - last, 0, 15);
    return with_short_exponent(fmt::format("{:.{}e}", static_cast<double>(value), digits));
  }
  struct Unit {
    long double size;
    const char* name;
  };
  for (const Unit& unit : {Unit{1e12L, "T"}, {1e9L, "G"}, {1e6L, "M"}, {1e3L, "k"}}) {
    if (largest < (unit.size > 1e3L ? 1 : 10) * unit.size) continue;  // 5000 needs no letter
    const int digits = std::max(0, exponent_of(unit.size) - last);
    if (digits > 3) continue;  // a large number that changes little
    return fmt::format("{:.{}f}{}", static_cast<double>(value / unit.size), digits, unit.name);
  }
  return fmt::format("{:.{}f}", static_cast<double>(value), std::max(0, -last));
}

std::string decade_label(double value) {
  if (value >= 1e-3 && value < 1e6) return fmt::format("{:g}", value);
  return with_short_exponent(fmt::format("{:.3g}", value));
}

// No two alike.
std::vector<Tick> without_repeats(std::vector<Tick> ticks) {
  ticks.erase(std::unique(ticks.begin(), ticks.end(),
                          [](const Tick& a, const Tick& b) { return a.label == b.label; }),
              ticks.end());
  return ticks;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void take(double value, bool log) {
    if (!std::isfinite(value) || (log && value <= 0)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  Scale scale(bool log) const {
    if (low > high) return log ? Scale(1, 10, true) : Scale(0, 1, false);
    return Scale(low, high, log);
  }
};

}  // namespace

Scale::Scale(double low, double high, bool log) : low_(low), high_(high), log_(log) {
  if (log_) {
    low_ = std::log10(low_);
    high_ = std::log10(high_);
  }
  // Numbers that differ in their last bit are one.
  const long double size = std::max(std::abs(low_), std::abs(high_));
  if (high_ - low_ > size * 1e-14L) return;
  const long double around = log_ ? 0.5L : size > 0 ? size * 0.05L : 0.5L;
  low_ -= around;
  high_ += around;
}

bool Scale::shows(double value) const {
  return std::isfinite(value) && (!log_ || value > 0);
}

double Scale::place(double value) const {
  const long double at = log_ ? std::log10(static_cast<long double>(value)) : value;
  return static_cast<double>((at - low_) / (high_ - low_));
}

namespace {

// The nearest number that a double holds.
double end_of_axis(long double value, bool log) {
  constexpr long double kMost = std::numeric_limits<double>::max();
  constexpr long double kLeast = std::numeric_limits<double>::min();
  if (log) value = std::max(std::pow(10.0L, value), kLeast);
  return static_cast<double>(std::clamp(value, -kMost, kMost));
}

}  // namespace

double Scale::low() const {
  return end_of_axis(low_, log_);
}

double Scale::high() const {
  return end_of_axis(high_, log_);
}

std::vector<Tick> Scale::ticks(int most) const {
  // Within a decade round numbers are those of a linear axis.
  return log_ && high_ - low_ >= 1 ? log_ticks(std::max(most, 2)) : linear_ticks(std::max(most, 2));
}

std::vector<Tick> Scale::linear_ticks(int most) const {
  const long double low = log_ ? std::pow(10.0L, low_) : low_;
  const long double high = log_ ? std::pow(10.0L, high_) : high_;
  const long double step = round_step((high - low) / most);
  const long double largest = std::max(std::abs(low), std::abs(high));
  std::vector<Tick> ticks;
  const long double first = std::ceil(low / step - kTiny);
  for (int i = 0; i <= most + 1; ++i) {
    const long double value = (first + i) * step;
    if (value > high + step * 1e-9L) break;
    ticks.push_back({place(static_cast<double>(value)), tick_label(value, step, largest)});
  }
  return without_repeats(std::move(ticks));
}

std::vector<Tick> Scale::log_ticks(int most) const {
  const int first = static_cast<int>(std::ceil(low_ - kTiny));
  const int last = static_cast<int>(std::floor(high_ + kTiny));
  const int every = std::max(1, (last - first + most) / most);
  std::vector<Tick> ticks;
  const auto add = [&](long double value) {
    const long double at = std::log10(value);
    if (at < low_ - kTiny || at > high_ + kTiny) return;
    const auto number = static_cast<double>(value);
    if (!shows(number)) return;  // beyond what a number holds
    ticks.push_back({place(number), decade_label(number)});
  };
  const bool few = 3 * (last - first + 1) <= most;
  for (int decade = first - 1; decade <= last; ++decade) {
    const long double power = std::pow(10.0L, decade);
    if (decade >= first && (decade - first) % every == 0) add(power);
    if (few) add(2 * power), add(5 * power);
  }
  return without_repeats(std::move(ticks));
}

PlotScales scales_of(const Plot& plot) {
  Range x, y;
  for (const Line& line : plot.lines) {
    const size_t n = std::min(line.x.size(), line.y.size());
    for (size_t i = 0; i < n; ++i) {
      if (!std::isfinite(line.y[i]) || (plot.y.log && line.y[i] <= 0)) continue;
      x.take(line.x[i], plot.x.log);
      y.take(line.y[i], plot.y.log);
      if (i < line.low.size()) y.take(line.low[i], plot.y.log);
      if (i < line.high.size()) y.take(line.high[i], plot.y.log);
    }
  }
  return {x.scale(plot.x.log), y.scale(plot.y.log)};
}

namespace {

// Points of one place, gathered.
struct Bucket {
  size_t first = 0, least = 0, most = 0, last = 0;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool any = false;
};

void add_point(Line& out, const Line& line, size_t i, const Bucket& bucket) {
  out.x.push_back(line.x[i]);
  out.y.push_back(line.y[i]);
  if (i < line.marks.shapes.size()) out.marks.shapes.push_back(line.marks.shapes[i]);
  if (i < line.marks.shades.size()) out.marks.shades.push_back(line.marks.shades[i]);
  if (line.low.empty() || line.high.empty()) return;
  out.low.push_back(bucket.any ? bucket.low : line.low[i]);
  out.high.push_back(bucket.any ? bucket.high : line.high[i]);
}

void empty_into(Line& out, const Line& line, Bucket& bucket) {
  if (!bucket.any) return;
  size_t kept[] = {bucket.first, bucket.least, bucket.most, bucket.last};
  std::sort(std::begin(kept), std::end(kept));
  const size_t* const end = std::unique(std::begin(kept), std::end(kept));
  for (const size_t* i = kept; i != end; ++i) add_point(out, line, *i, bucket);
  bucket = Bucket();
}

}  // namespace

Line thinned(const Line& line, const PlotScales& scales, size_t width) {
  const size_t n = std::min(line.x.size(), line.y.size());
  if (n <= 4 * width) return line;
  Line out;
  out.name = line.name;
  out.marks.ends = line.marks.ends;
  Bucket bucket;
  double at = -1;
  for (size_t i = 0; i < n; ++i) {
    if (!scales.x.shows(line.x[i]) || !scales.y.shows(line.y[i])) {
      empty_into(out, line, bucket);
      if (out.y.empty() || std::isnan(out.y.back())) continue;  // one gap is as good as many
      add_point(out, line, i, bucket);
      out.y.back() = std::numeric_limits<double>::quiet_NaN();
      continue;
    }
    const double place = std::floor(scales.x.place(line.x[i]) * static_cast<double>(width));
    if (bucket.any && place != at) empty_into(out, line, bucket);
    at = place;
    if (!bucket.any) bucket.first = bucket.least = bucket.most = i;
    bucket.any = true;
    bucket.last = i;
    if (line.y[i] < line.y[bucket.least]) bucket.least = i;
    if (line.y[i] > line.y[bucket.most]) bucket.most = i;
    if (i < line.low.size()) bucket.low = std::min(bucket.low, line.low[i]);
    if (i < line.high.size()) bucket.high = std::max(bucket.high, line.high[i]);
  }
  empty_into(out, line, bucket);
  return out;
}

}  // namespace fathom::report
