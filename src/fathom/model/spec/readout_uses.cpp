#include "fathom/model/spec/readout_uses.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "fathom/model/spec/depth_program.h"

namespace fathom {
namespace {

// Whether a term asks at a readout what was said at others.
bool asks_others(const SupervisionTerm& term) {
  const auto of_others = [](std::string_view name) {
    const ObjectiveSignal* signal = find_signal(bare(name));
    return is_prev(name) || signal == nullptr || signal->halting || signal->previous ||
           signal->all_before;
  };
  return term.judge == TermRule::kNextFrozen || any_name(term.value, /*in_stops=*/true, of_others);
}

// A row that leaves a loop early answers with what it said there.
bool rows_leave_in_training(const DepthProgram& program) {
  const std::vector<LoopPolicy>& loops = program.policy.loops;
  return std::any_of(loops.begin(), loops.end(), [](const LoopPolicy& l) {
    return l.stop_probability > 0 || (l.halting.halts() && l.halting.in_training);
  });
}

}  // namespace

double weight_at(const SupervisionTerm& term, int layer) {
  const bool has = layer >= 0 && static_cast<size_t>(layer) < term.weights.size();
  return has ? term.weights[static_cast<size_t>(layer)] : 0;
}

std::vector<ReadoutUse> readout_uses(const SupervisionTable& table, const DepthProgram& program) {
  if (std::any_of(table.begin(), table.end(), asks_others)) return {};
  const HaltingPolicy& halting = program.policy.halting;
  const bool leaves = rows_leave_in_training(program);
  const bool all_read = leaves || halting.halts() || halting.logs();
  std::vector<ReadoutUse> uses(static_cast<size_t>(program.readouts),
                               all_read ? ReadoutUse::kRead : ReadoutUse::kNone);
  std::set<int> later;  // layers that read once more
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    if (step->readout < 0) continue;
    ReadoutUse& use = uses[static_cast<size_t>(step->readout)];
    if (later.empty() && use == ReadoutUse::kNone) use = ReadoutUse::kRead;
    const int layer = step->layer.readout->layer;
    const bool again = !later.insert(layer).second;
    for (const SupervisionTerm& term : table)
      if (weight_at(term, layer) != 0 && !(again && term.last_reading && !leaves))
        use = ReadoutUse::kTaught;
  }
  return uses;
}

}  // namespace fathom
