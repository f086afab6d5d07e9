#include "fathom/track/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "fathom/base/held_path.h"
#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/track/console.h"

namespace fathom {
namespace {

constexpr double kRedrawInterval = 0.1;       // seconds
constexpr double kStepMemory = 50;            // steps over which the time of one is smoothed
constexpr double kLongSilence = 60;           // seconds, in a log
constexpr int kLeastBar = 10, kMostBar = 40;  // columns
constexpr const char* kSeparator = " | ";
constexpr const char* kEraseToEnd = "\033[K";

// Rounded down, so that 100% means all.
std::string percentage(int64_t done, int64_t total) {
  const double tenths = std::floor(1000.0 * static_cast<double>(done) / static_cast<double>(total));
  return fmt::format("{:.1f}%", tenths / 10);
}

}  // namespace

Clock steady_clock() {
  return [] {
    using std::chrono::steady_clock;
    return std::chrono::duration<double>(steady_clock::now().time_since_epoch()).count();
  };
}

void StepTimer::add(int64_t step, double now) {
  const int64_t steps = step - last_step_;
  if (steps <= 0) return;
  if (++calls_ > 1) {
    // Dividing by the sum of the weights makes the first estimates plain means, not ones that
    // lean towards zero.
    const double keep = std::exp(-static_cast<double>(steps) / kStepMemory);
    const double per_step = (now - last_time_) / static_cast<double>(steps);
    weighted_seconds_ = keep * weighted_seconds_ + (1 - keep) * per_step;
    weight_ = keep * weight_ + (1 - keep);
  }
  last_step_ = step;
  last_time_ = now;
}

std::optional<double> StepTimer::seconds_per_step() const {
  if (calls_ < 3) return std::nullopt;
  return weighted_seconds_ / weight_;
}

ProgressOptions ProgressOptions::for_stream(std::FILE* file, int64_t total, int64_t first_step) {
  ProgressOptions options;
  options.total = total;
  options.first_step = first_step;
  options.console = can_redraw(file)    ? Console::kLive
                    : is_terminal(file) ? Console::kTerminal
                                        : Console::kLog;
  options.colour = can_colour(file);
  options.write = [file](std::string_view text) {
    say_raw(file, text);  // at once: a pipe would otherwise show a line minutes late
  };
  options.width = [file] { return terminal_width(file); };
  return options;
}

ProgressLine::ProgressLine(ProgressOptions options)
    : options_(std::move(options)), start_(0), timer_(options_.first_step, 0) {
  if (!options_.clock) options_.clock = steady_clock();
  if (!options_.width) options_.width = [] { return 80; };
  start_ = last_line_ = options_.clock();
  timer_ = StepTimer(options_.first_step, start_);
}

ProgressLine::~ProgressLine() {
  try {
    finish();
  } catch (...) {
    // The console is not worth a terminate() while an error is on its way.
  }
}

double ProgressLine::elapsed() const {
  return options_.clock() - start_;
}

double ProgressLine::silence() const {
  return options_.clock() - last_line_;
}

std::optional<double> ProgressLine::seconds_left() const {
  const std::optional<double> per_step = timer_.seconds_per_step();
  if (!per_step || !last_ || options_.total <= 0) return std::nullopt;
  return *per_step * static_cast<double>(std::max<int64_t>(0, options_.total - last_->step));
}

void ProgressLine::update(const ProgressSample& sample, bool log_step) {
  if (finished_) return;
  last_ = sample;
  activity_.clear();
  reported_ = false;
  const double now = options_.clock();
  timer_.add(sample.step, now);
  if (options_.is_live()) {
    if (!drawn_ || now - last_draw_ >= kRedrawInterval) draw();
  } else if (log_step) {
    write_plain(plain_line());
    reported_ = true;
  }
}

void ProgressLine::show_activity(std::string_view what, int64_t done, int64_t total) {
  if (finished_) return;
  const double now = options_.clock();
  const bool due = options_.is_live() ? !drawn_ || now - last_draw_ >= kRedrawInterval
                                      : now - last_line_ >= kLongSilence;
  if (!due) return;
  activity_ = visible(fmt::format("{} {}", what, percentage(done, std::max<int64_t>(total, 1))));
  if (options_.is_live()) return draw();
  write_plain(position() + kSeparator + activity_ + "\n");
  activity_.clear();
}

void ProgressLine::set_evaluation(std::optional<double> val, std::optional<double> best) {
  val_ = val;
  best_ = best;
}

void ProgressLine::print(std::string_view line) {
  activity_.clear();
  const std::string text = fmt::format("{}\n", visible(shown_paths(line)));
  if (!drawn_) return write_plain(text);
  last_line_ = options_.clock();
  options_.write(fmt::format("\r{}{}", kEraseToEnd, folded(text, options_.width())));
  draw();
}

void ProgressLine::finish() {
  if (finished_) return;
  finished_ = true;
  activity_.clear();
  if (!last_ && !drawn_) return;
  if (options_.is_live()) {
    draw();  // the last state, which the rate limit may have held back
    options_.write("\n");
    drawn_ = false;
  } else if (!reported_) {
    write_plain(plain_line());
  }
}

void ProgressLine::write_plain(std::string_view text) {
  last_line_ = options_.clock();
  const bool is_log = options_.console == ProgressOptions::Console::kLog;
  options_.write(is_log ? std::string(text) : folded(text, options_.width()));
}

std::string ProgressLine::position() const {
  const int64_t step = last_ ? last_->step : options_.first_step;
  std::string text = fmt::format("{} {}", options_.unit, with_commas(step));
  if (options_.total > 0)
    text += fmt::format("/{} {}", with_commas(options_.total), percentage(step, options_.total));
  return text;
}

std::vector<ProgressLine::Part> ProgressLine::parts() const {
  std::vector<Part> parts = {{position(), true, 0}};
  if (!activity_.empty()) parts.push_back({activity_, true, 1});
  if (!last_) return parts;
  const auto add_loss = [&](const char* name, const std::optional<double>& loss, int place) {
    if (loss) parts.push_back({fmt::format("{} {:.4f}", name, *loss), true, place});
  };
  add_loss("loss", last_->loss, 2);
  if (options_.is_live()) add_loss("val", val_, 3);
  if (options_.is_live()) add_loss("best", best_, 4);
  if (last_->tokens_per_second)
    parts.push_back({human_count(*last_->tokens_per_second) + " tok/s", false, 6});
  if (const std::optional<double> left = seconds_left(); left && *left > 0)
    parts.push_back({"left " + human_duration(*left), false, 5});
  parts.push_back({"elapsed " + human_duration(elapsed()), false, 7});
  for (const auto& [name, value] : last_->extra)
    parts.push_back({visible(name + " " + value), false, 8});
  return parts;
}

std::string ProgressLine::plain_line() const {
  std::string line;
  for (const Part& part : parts()) {
    if (!line.empty()) line += kSeparator;
    line += part.text;
  }
  return line + "\n";
}

// Of `room` columns at most; empty where that is too little, or nobody knows where the end is.
std::string ProgressLine::bar(int room) const {
  // Beside what goes on it would be taken for that.
  if (options_.total <= 0 || room < kLeastBar || !activity_.empty()) return "";
  const int width = std::min(room, kMostBar);
  const int64_t step = last_ ? last_->step : options_.first_step;
  const auto full = static_cast<int>(
      std::clamp(static_cast<double>(step) / static_cast<double>(options_.total), 0.0, 1.0) *
      width);
  std::string done, rest;
  for (int i = 0; i < width; ++i) (i < full ? done : rest) += i < full ? "━" : "─";
  return done + Style(options_.colour).dim(rest);
}

// What does not fit is left out, the least wanted first: half a number would be a wrong one. Only
// the position is cut, and one column stays free, for a full line may wrap.
std::string ProgressLine::live_line() const {
  const Style style(options_.colour);
  const int room = options_.width() - 1, between = text_width(kSeparator);
  std::vector<Part> shown = parts();
  int taken = -between;
  for (const Part& part : shown) taken += between + text_width(part.text);
  while (taken > room && shown.size() > 1) {
    const auto least =
        std::max_element(shown.rbegin(), shown.rend(),
                         [](const Part& a, const Part& b) { return a.place < b.place; });
    taken -= between + text_width(least->text);
    shown.erase(std::next(least).base());
  }
  std::string line;
  for (const Part& part : shown) {
    const std::string_view text = cut_to_width(part.text, room);
    if (!line.empty()) line += style.dim(kSeparator);
    line += part.strong ? std::string(text) : style.dim(text);
  }
  const std::string end = bar(room - taken - 1);
  return end.empty() ? line : line + " " + end;
}

void ProgressLine::draw() {
  options_.write(fmt::format("\r{}{}", live_line(), kEraseToEnd));
  drawn_ = true;
  last_draw_ = options_.clock();
}

}  // namespace fathom
