#include "fathom/track/notebook_log.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fathom {

std::string notebook_line(const NotebookStep& s) {
  std::string line =
      fmt::format("@ {} train {:.4f} , allloss: {:.4f}, confloss: {:.4f}, targetloss: {:.4f}",
                  s.step, s.train, s.all, s.confidence, s.target);
  line += fmt::format(", earlystop: {:.3f}, earlystopdict: [{:.2f}]", s.early_stop,
                      fmt::join(s.early_stops, ", "));
  line += fmt::format(", lr:{:.4e}, norm:{:.4f}, dt: {:.2f}ms, tok/sec: {:.2f}", s.learning_rate,
                      s.gradient_norm, s.milliseconds, s.tokens_per_second);
  return line + fmt::format(", flops:{:.2f}, batch-reuse:{}", s.flops, s.batch_reuse);
}

std::string notebook_val_line(int64_t step, double loss) {
  return fmt::format("@ {} val {:.4f}", step, loss);
}

double notebook_flops(const NotebookModel& m, int64_t tokens, double seconds) {
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const double T = number(m.block_size);
  const double of_token = 6 * number(m.parameters) +
                          12 * number(m.n_layer) * number(m.n_head) * number(m.head_width) * T;
  return of_token * T * number(tokens) / (1000 * seconds * 1e12);
}

std::string notebook_size_line(const NotebookSizes& s) {
  return fmt::format("SIZE COMPARISON prev {} mid {} next {}", s.previous, s.middle, s.next);
}

std::string notebook_info_line(const NotebookSizes& s) {
  return fmt::format("INFO nextres {} attn*mlp {} layernormed {}", s.previous, s.delta, s.next);
}

std::string notebook_histogram_line(const std::string& name, double low, double high,
                                    const std::vector<int64_t>& counts) {
  return fmt::format("{} {}<{}>{}", name, low, fmt::join(counts, ","), high);
}

}  // namespace fathom
