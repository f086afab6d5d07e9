#include "fathom/train/recipe/schedule.h"

#include <algorithm>
#include <cmath>

namespace fathom {

double learning_rate_at(const RunConfig& config, int64_t step, std::optional<double> done) {
  const ScheduleConfig& s = config.schedule;
  const double peak = config.optimizer.learning_rate;
  if (!s.decay_lr) return peak;
  const auto i = static_cast<double>(step);
  const auto w = static_cast<double>(s.warmup_iters);
  const auto d = static_cast<double>(s.lr_decay_iters.value_or(config.training.max_iters));
  const double floor = s.min_lr.value_or(peak / 10);
  if (done && !s.lr_decay_iters) {
    const double warm = i >= w                                  ? 1
                        : s.warmup_form == WarmupForm::kShifted ? (i + 1) / (w + 1)
                                                                : i / w;
    return warm * (floor + 0.5 * (1 + std::cos(M_PI * std::min(*done, 1.0))) * (peak - floor));
  }
  if (i < w) return s.warmup_form == WarmupForm::kShifted ? peak * (i + 1) / (w + 1) : peak * i / w;
  if (i > d) return floor;
  const double progress = d > w ? (i - w) / (d - w) : 1.0;
  return floor + 0.5 * (1 + std::cos(M_PI * progress)) * (peak - floor);
}

double optimizer_warmup(const OptimizerConfig& config, int64_t updates) {
  if (updates >= config.optimizer_warmup_steps) return 1;
  const double f = config.optimizer_warmup_fraction;
  return f + (1 - f) * static_cast<double>(updates) /
                 static_cast<double>(config.optimizer_warmup_steps);
}

}  // namespace fathom
