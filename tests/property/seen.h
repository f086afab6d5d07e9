// What a walk shows of each position, and how two walks differ.
#pragma once

#include "property/presets.h"

namespace fathom::property {

// By what it is and at which step: values of each position, (B, T, ...).
using Seen = std::map<std::string, Tensor>;

inline const Carry& after(const KeptTrace& trace, size_t step) {
  return step + 1 < trace.steps.size() ? trace.door(step + 1) : trace.end;
}

// Names that begin with "target" depend on the position's own target too.
inline Seen look(const DepthWalk& walk, const DepthProgram& program, const Batch& batch,
                 const WalkOptions& options) {
  const at::NoGradGuard no_grad;
  const KeptTrace trace = run_kept(walk, program, batch, options);
  const bool gold = program.policy.halting.config.rule == HaltRule::kGold && options.training;
  Seen seen;
  for (size_t i = 0; i < trace.steps.size(); ++i) {
    const auto see = [&](const std::string& name, const Tensor& x_R) {
      if (x_R.defined())
        seen[fmt::format("{}, step {}", name, i)] =
            x_R.reshape({batch.tokens_BT.size(0), batch.tokens_BT.size(1), -1});
    };
    const StepRecord& record = trace.steps[i];
    see("state", after(trace, i).r_RC);
    see("delta", after(trace, i).y_RC);
    if (record.readout < 0) continue;
    const LinearParams& head = walk.params().head.at(program.steps[i].layer.readout->head);
    see("normed", trace.h(record));
    see("logits", linear(trace.h(record), head.weight, head.bias));
    see("ln_max", record.reading.ln_max_R);
    see("ln_max_confidence", record.reading.ln_max_confidence_R);
    see("prediction", record.reading.prediction_R);
    see("target ln_p", record.reading.ln_p_R);
    // Where a rule had nothing to compare with yet, a number that no score is.
    Tensor score_R = record.decision.score_R;
    if (score_R.defined()) score_R = score_R.masked_fill(score_R.isinf(), -1);
    see(gold ? "target score" : "score", score_R);
    see(gold ? "target halts" : "halts", record.decision.halts_R);
  }
  return seen;
}

// The largest difference between two looks, in units of what is seen, and where.
struct Difference {
  double largest = 0;
  std::string where;
};
inline std::ostream& operator<<(std::ostream& out, const Difference& d) {
  return out << d.largest << " at " << d.where;
}

using Part = std::function<Tensor(const Tensor& x_BTC)>;

// Of the parts f(a) and g(b) of every value that both show.
inline Difference difference(const Seen& a, const Part& f, const Seen& b, const Part& g) {
  Difference d;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, x] : a) {
    const double one = relative_gap(f(x), g(b.at(name)));
    if (one > d.largest) d = {one, name};
  }
  return d;
}

// Names the first thing seen before position j that changes by more than `tolerance` when token j
// of every sequence changes; empty: nothing does. What is at j itself must change ("blind" if not).
inline std::string leak(const std::function<Seen(const Batch&)>& see, const Batch& batch,
                        double tolerance = 0) {
  const Seen before = see(batch);
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1);
  for (int64_t j = 0; j < T; ++j) {
    Batch changed = map_columns(batch, [](const Tensor& x) { return x.clone(); });
    for (int64_t b = 0; b < B; ++b) {
      int64_t& token = changed.tokens_BT.data_ptr<int64_t>()[b * T + j];
      token = (token + 1) % kVocab;
      if (j > 0 && changed.targets_BT.defined())
        changed.targets_BT.data_ptr<int64_t>()[b * T + j - 1] = token;
    }
    const Seen after = see(changed);
    for (const auto& [name, x] : before) {
      const int64_t length = name.rfind("target", 0) == 0 ? std::max<int64_t>(j - 1, 0) : j;
      const Tensor& y = after.at(name);
      if (gap(x.narrow(1, 0, length), y.narrow(1, 0, length)) > tolerance)
        return fmt::format("{}: token {}", name, j);
      if (name == "state, step 0" && gap(x.select(1, j), y.select(1, j)) == 0)
        return fmt::format("blind at {}", j);
    }
  }
  return "";
}

}  // namespace fathom::property
