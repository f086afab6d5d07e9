// Console output of long work. On a terminal one live line, overwritten in place, as much of it as
// the terminal's width takes (80 columns: losses and time left):
//
//   step 1,234/5,000 24.6% | loss 2.3456 | val 2.4012 | best 2.3987 | 12.35k tok/s | left 3m20s |
//   elapsed 1m05s | lr 6.0e-04 ━━━━━━━━──────────────────────
//
// and elsewhere (a pipe, a log file, TERM=dumb) plain lines, at log steps only, without what lines
// of their own have said there (val, best) and without the bar.
//
//   ProgressLine progress(ProgressOptions::for_stream(stdout, max_iters));
//   progress.update({step, loss, tokens_per_second}, step % log_interval == 0);
//   progress.print("step 250: val loss 1.9876, saved checkpoints/best");
//   progress.finish();
//
// While a ProgressLine is alive, every other line on the same stream goes through print(), or the
// two mix. It belongs to one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/track/terminal.h"

namespace fathom {

using Clock = std::function<double()>;  // seconds since any fixed moment, never running backwards
Clock steady_clock();

// Seconds per step, exponentially smoothed over about fifty steps.
class StepTimer {
 public:
  StepTimer(int64_t first_step, double now) : last_step_(first_step), last_time_(now) {}

  // `step` steps are done at time `now`. A call that brings no new step changes nothing.
  void add(int64_t step, double now);
  // Unknown for the first two calls: the first step warms caches and allocator and says nothing,
  // and a single measured one says little.
  std::optional<double> seconds_per_step() const;

 private:
  int64_t last_step_;
  double last_time_;
  int calls_ = 0;
  double weighted_seconds_ = 0, weight_ = 0;
};

struct ProgressSample {
  int64_t step = 0;  // steps done
  std::optional<double> loss = {};
  std::optional<double> tokens_per_second = {};
  std::vector<std::pair<std::string, std::string>> extra = {};  // name, value; after all others
};

struct ProgressOptions {
  int64_t total = 0;       // 0: unknown, so neither percentage nor time left
  int64_t first_step = 0;  // steps that were done before this process began (resume)
  std::string unit = "step";
  // Plain lines as they are, or folded to a terminal's width; or one live line, others folded.
  enum class Console { kLog, kTerminal, kLive };
  Console console = Console::kLog;
  bool is_live() const { return console == Console::kLive; }
  bool colour = false;                               // ANSI styles in the live line
  std::function<void(std::string_view)> write = {};  // takes whole pieces of output, flushes them
  std::function<int()> width = {};                   // of the terminal, asked at each redraw
  Clock clock = {};                                  // default: steady_clock()

  // What suits `file` (console, colour, write, width). `file` must outlive the ProgressLine.
  static ProgressOptions for_stream(std::FILE* file, int64_t total, int64_t first_step = 0);
};

class ProgressLine {
 public:
  // Time runs from here. Needs options.write.
  explicit ProgressLine(ProgressOptions options);
  ~ProgressLine();  // as finish(), so that an error message begins on a line of its own
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // At each step. A live line is redrawn at most ten times a second; without one only log steps
  // print.
  void update(const ProgressSample& sample, bool log_step);
  // Between steps, what goes on: "evaluating val", `done` of `total`. It stands in the live line
  // until the next step or line; without one a line says so once nothing was said for a minute.
  void show_activity(std::string_view what, int64_t done, int64_t total);
  // The loss of the last evaluation, and of the best one so far: on a live line alone.
  void set_evaluation(std::optional<double> val, std::optional<double> best);
  // One line of other output (without its newline) above the live line.
  void print(std::string_view line);
  // Leaves the last state on the console, as a line of its own. Later calls do nothing.
  void finish();

  double elapsed() const;  // seconds
  // Since something was last printed, other than by redrawing the live line; at first since the
  // beginning.
  double silence() const;
  std::optional<double> seconds_left() const;

 private:
  struct Part {
    std::string text;
    bool strong;
    int place;  // among those that are wanted; 0 most
  };
  std::string position() const;
  std::vector<Part> parts() const;
  std::string plain_line() const;
  std::string live_line() const;
  std::string bar(int room) const;
  void draw();
  void write_plain(std::string_view text);

  ProgressOptions options_;
  double start_;
  StepTimer timer_;
  std::optional<ProgressSample> last_ = {};
  std::optional<double> val_, best_;
  std::string activity_;  // empty: none
  double last_draw_ = 0, last_line_ = 0;
  bool drawn_ = false;     // a live line is on the screen
  bool reported_ = false;  // the last sample has been printed as a plain line
  bool finished_ = false;
};

}  // namespace fathom
