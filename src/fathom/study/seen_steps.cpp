#include "fathom/study/seen_steps.h"

#include <fmt/format.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

bool is_of_block(std::string_view name) {
  return name != "door" && name != "head" && name.rfind("iteration.", 0) != 0;
}

// Of the values; their number if no r is among them.
size_t last_r(const SeenStep& step) {
  for (size_t i = step.values.size(); i > 0; --i)
    if (step.values[i - 1].first == "r") return i - 1;
  return step.values.size();
}

}  // namespace

Tensor SeenStep::after() const {
  const size_t last = last_r(*this);
  return last < values.size() ? values[last].second : before_RC;
}

Tensor SeenStep::first(const std::string& name) const {
  const size_t last = last_r(*this);
  for (size_t i = 0; i < values.size(); ++i)
    if (i != last && values[i].first == name) return values[i].second;
  return {};
}

Tensor SeenStep::middle() const {
  const size_t last = last_r(*this);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& [name, value_RC] = values[i];
    const bool is_part = name == "a" || name == "m" || name.rfind("F.", 0) == 0;
    if (i == last || is_part || name == "n" || name == "y") continue;
    if (value_RC.sizes() == before_RC.sizes()) return value_RC;
  }
  return {};
}

Observer seen_steps_observer(std::vector<SeenStep>& seen) {
  Observer observer;
  observer.see = [&seen](const Sight& sight) {
    SeenStep& step = seen.at(static_cast<size_t>(sight.step.index));
    if (sight.name == "head") step.head_RC = sight.x;
    if (!is_of_block(sight.name)) return;
    if (sight.name == "n" && !step.n_RC.defined()) {
      step.n_RC = sight.x;
      step.before_RC = sight.state.travel.carry.r_RC;  // what the block begins with
    } else {
      step.values.emplace_back(sight.name, sight.x);
    }
  };
  return observer;
}

DepthProgram whole_program(const DepthModel& model) {
  Policy policy = model.program().policy;
  policy.halting = {};
  for (LoopPolicy& loop : policy.loops) {
    loop.halting = {};
    loop.backprop_depth = 0;
  }
  return unroll(model.walk().plan(), policy);
}

const StepSpec& last_readout_step(const DepthProgram& program) {
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step)
    if (step->layer.readout) return *step;
  fail("the model reads nothing out, so its walk has no loss",
       "`fathom eval` shows how good it is at what it was trained for");
}

std::string step_name(const StepSpec& step) {
  std::string name = std::to_string(step.place);
  for (const LoopPlace& place : step.path) name += fmt::format(".{}", place.iteration);
  return name;
}

}  // namespace fathom
