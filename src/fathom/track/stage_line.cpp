#include "fathom/track/stage_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/text.h"
#include "fathom/base/visible.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

constexpr double kLogInterval = 60;  // seconds
constexpr const char* kCleared = "\r\033[K";

std::string stage_text(const std::string& stage, uint64_t done, uint64_t total) {
  return visible(total > 0
                     ? fmt::format("{} {:.0f} %", stage,
                                   100.0 * static_cast<double>(done) / static_cast<double>(total))
                     : fmt::format("{} {}", stage, human_bytes(static_cast<double>(done))));
}

}  // namespace

StageLineOptions StageLineOptions::for_stream(std::FILE* file) {
  StageLineOptions options;
  options.live = can_redraw(file);
  options.width = [file] { return terminal_width(file); };
  options.write = [file](std::string_view text) { say_raw(file, text); };
  return options;
}

StageLine::StageLine(StageLineOptions options) : options_(std::move(options)) {
  if (!options_.width) options_.width = [] { return 80; };
  if (!options_.clock) options_.clock = steady_clock();
  last_ = options_.clock();
}

void StageLine::show(const std::string& stage, uint64_t done, uint64_t total) {
  if (options_.live) {
    // A line that wraps would not be written over.
    std::string now = stage_text(stage, done, total);
    if (const int room = options_.width() - 1; text_width(now) > room)
      now = std::string(cut_to_width(now, room - 1)) + "…";
    if (now != shown_) options_.write(kCleared + now);
    shown_ = now;
    return;
  }
  const double now = options_.clock();
  if (now - last_ < kLogInterval) return;
  last_ = now;
  options_.write(stage_text(stage, done, total) + "\n");
}

void StageLine::clear() {
  if (!shown_.empty()) options_.write(kCleared);
  shown_.clear();
}

}  // namespace fathom
