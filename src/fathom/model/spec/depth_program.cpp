#include "fathom/model/spec/depth_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/model/spec/layer_cycle.h"
#include "fathom/model/spec/loop_counts.h"

namespace fathom {
namespace {

// "0.2" of numbers of the path's loops.
template <class Number>
std::string joined(const std::vector<LoopPlace>& path, const Number& number) {
  std::string out;
  for (const LoopPlace& p : path) out += fmt::format("{}{}", out.empty() ? "" : ".", number(p));
  return out;
}

// That names an iteration's random numbers; -1 is the last one of a loop with late entries.
int64_t address(const LoopPlace& place) {
  return place.late > 0 ? place.iteration - place.late : place.iteration;
}

class Unroller {
 public:
  Unroller(const DepthPlan& plan, const Policy& policy) : plan_(plan) {
    check_policy(policy, plan);
    program_.policy = policy;
    for (const Wiring& wiring : plan.wirings)
      attention_calls_.push_back(check_wiring(wiring).attention_calls);
  }

  DepthProgram run() {
    each_layer(plan_, [this](const LayerSpec& layer) {
      if (layer.readout) last_answering_ = &layer;
    });
    if (program_.policy.layers > 0) {
      std::vector<PlanNode> nodes;
      for (LayerSpec& layer : cycled_layers(plan_, program_.policy.layers))
        nodes.push_back({std::move(layer)});
      // As many as the plan has: nothing else than that.
      if (nodes.size() == plan_.nodes.size()) program_.policy.layers = 0;
      walk(nodes, /*first_iteration=*/true, /*grad=*/true);
    } else {
      walk(plan_.nodes, /*first_iteration=*/true, /*grad=*/true);
    }
    check_states();
    return std::move(program_);
  }

 private:
  // A walk's rule that remembers states compares those of readouts.
  void check_states() const {
    if (!keeps_states(program_.policy.halting.config.rule)) return;
    int64_t width = 0;
    for (const StepSpec& step : program_.steps) {
      if (step.readout < 0) continue;
      if (width > 0 && step.layer.width != width)
        misuse(fmt::format("halt_rule = rel_latent, converge or kl compares a layer's state with "
                           "the last one, and layer_widths has layers of {} and {} channels",
                           width, step.layer.width),
               "take another halt_rule, max for example");
      width = step.layer.width;
    }
  }

  // Who answers where the policy asks every layer, and the plan says nothing of this one.
  std::optional<ReadoutSpec> asked_of(const LayerSpec& layer) const {
    if (layer.readout || !program_.policy.halting.asks_all || !layer.asked ||
        last_answering_ == nullptr || last_answering_->width != layer.width)
      return layer.readout;
    ReadoutSpec readout = asked_by();
    readout.layer = layer.number;
    return readout;
  }

  // Of who has none of its own.
  ReadoutSpec asked_by() const { return plan_.asked_by.value_or(*last_answering_->readout); }

  int calls_of(const LayerSpec& layer) const {
    return attention_calls_.at(static_cast<size_t>(layer.wiring));
  }

  void walk(const std::vector<PlanNode>& nodes, bool first_iteration, bool grad) {
    for (const PlanNode& node : nodes) {
      if (const auto* layer = std::get_if<LayerSpec>(&node.node))
        add_step(*layer, first_iteration, grad);
      else
        loop(std::get<LoopGroup>(node.node), first_iteration, grad);
    }
  }

  // Where sequences enter late a table is read for some rows only; so must its gate be.
  static void check_gates(const LayerSpec& layer) {
    const Injection* gate = nullptr;
    for (const Injection& injection : layer.door) {
      if (injection.kind == Injection::kTokenTable && gate != nullptr &&
          gate->every_iteration != injection.every_iteration)
        misuse(fmt::format("layer {} reads a table and its gate on different iterations of a loop "
                           "that sequences enter at different ones",
                           layer.number),
               "let both be of every iteration, or of the first alone");
      if (injection.kind == Injection::kTokenTable) gate = nullptr;
      if (injection.kind == Injection::kGate) gate = &injection;
    }
  }

  void add_step(const LayerSpec& layer, bool first_iteration, bool grad) {
    if (late_entries_ > 0) check_gates(layer);
    StepSpec step;
    step.layer = layer;
    step.layer.readout = asked_of(layer);
    step.layer.door = std::move(pending_);
    pending_.clear();
    for (const Injection& injection : layer.door)
      if (first_iteration || injection.every_iteration || late_entries_ > 0) {
        step.layer.door.push_back(injection);
        step.layer.door.back().grad = grad;
        // Rows that enter late have their first iteration here, others have had it.
        if (!first_iteration && !injection.every_iteration)
          step.layer.door.back().newcomers_only = true;
      }
    step.index = static_cast<int>(program_.steps.size());
    step.place = layers_++;
    step.attention_place = attentions_;
    step.path = path_;
    step.cache_slot = slots_;
    if (step.layer.readout) step.readout = program_.readouts++;
    step.grad = grad;
    attentions_ += calls_of(layer);
    slots_ += calls_of(layer);
    program_.cache_slots = std::max(program_.cache_slots, slots_);
    program_.steps.push_back(std::move(step));
  }

  // An iteration's end after the step that was added last.
  void add_end(const LoopGroup& group, bool closes) {
    StepSpec& step = program_.steps.back();
    LoopEnd end{path_.back(), closes, closes ? -1 : program_.loop_ends++};
    const bool own = step.layer.readout.has_value();
    const LayerSpec* const answers = own ? &step.layer : last_answering_;
    end.reads = answers != nullptr && answers->width == step.layer.width;
    if (end.reads) end.readout = own ? *step.layer.readout : asked_by();
    end.gate = group.halting_gate;
    step.ends.push_back(end);
  }

  void check_rule(const LoopEnd& end) const {
    const HaltRule rule = program_.loop_halting(end.place.group).config.rule;
    const auto group = [&] {
      return loop_group_names(plan_).at(static_cast<size_t>(end.place.group));
    };
    if (reads_out(rule) && !end.reads)
      misuse(fmt::format("the loop of {} halts by next-token scores of its state, and no layer of "
                         "its width answers",
                         group()),
             "halt by the change of the state, or give its last layer a head of its own");
    if (rule == HaltRule::kLearned && !end.gate.is_there())
      misuse(fmt::format("the loop of {} halts by a gate (loop_halt_rule = learned), and the model "
                         "has none",
                         group()),
             "train it with loop_halt_gate = true, or halt by another rule");
    if (end.gate.is_there() && !end.reads)
      misuse(fmt::format("the loop of {} learns when to halt by what its state answers "
                         "(loop_halt_gate = true), and no layer of its width answers",
                         group()),
             "give its last layer a head of its own, or take loop_halt_gate = false");
  }

  void loop(const LoopGroup& group, bool first_iteration, bool grad) {
    const size_t index = groups_++;
    const LoopPolicy loop =
        index < program_.policy.loops.size() ? program_.policy.loops[index] : LoopPolicy();
    const int64_t K = loop.count;
    if (group.body.empty())
      fail(fmt::format("the loop of {} has no layers", loop_group_names(plan_).at(index)));
    const bool truncated = loop.backprop_depth > 0 && K > loop.backprop_depth;
    const int64_t first_with_grad = truncated ? K - loop.backprop_depth : 0;
    // A loop of one iteration without an adapter of its own is the plain layers; but where each
    // sequence has its count, what one does must not depend on the others' counts.
    const bool once = K == 1 && loop.counts.empty();
    const bool plain = once && (group.adapter < 0 || !loop.single_pass_adapter);
    Injection open{Injection::kOpenLoop};
    open.loop = {static_cast<int>(index), 0};
    open.noise = once ? 0 : loop.noise;
    open.instance = group.adapter;
    open.plain = plain;
    open.noise_in_eval = loop.noise_in_eval;
    open.grad = grad;
    pending_.push_back(open);
    const size_t nested = groups_;
    const int layers = layers_, attentions = attentions_, first_slot = slots_;
    int after = slots_;  // of the group's iterations that a cache keeps
    path_.push_back({static_cast<int>(index), 0, loop.counts.empty() ? 0 : K});
    late_entries_ += loop.counts.empty() ? 0 : 1;
    for (int64_t k = 0; k < K; ++k) {
      groups_ = nested;  // nested groups keep their numbers in every iteration
      layers_ = layers, attentions_ = attentions;
      if (loop.cached_iterations > 0 && k % loop.cached_iterations == 0) slots_ = first_slot;
      path_.back().iteration = k;
      const bool in_graph = grad && k >= first_with_grad;
      if (!plain) {
        Injection input{Injection::kLoopInput, group.adapter};
        input.loop = path_.back();
        input.cut_state = truncated && k == first_with_grad;
        input.grad = in_graph;
        pending_.push_back(input);
      }
      if (!once || loop.single_pass_adapter)
        for (const Injection& injection : group.input) {
          pending_.push_back(injection);
          pending_.back().loop = path_.back();
          pending_.back().grad = in_graph;
        }
      walk(group.body, first_iteration && k == 0, in_graph);
      add_end(group, /*closes=*/k + 1 == K);
      after = std::max(after, slots_);
    }
    check_rule(program_.steps.back().ends.back());
    late_entries_ -= loop.counts.empty() ? 0 : 1;
    path_.pop_back();
    slots_ = after;
  }

  const DepthPlan& plan_;
  const LayerSpec* last_answering_ = nullptr;
  DepthProgram program_;
  std::vector<Injection> pending_;  // of the next step's door
  std::vector<LoopPlace> path_;
  std::vector<int> attention_calls_;  // by wiring
  size_t groups_ = 0;
  int layers_ = 0, attentions_ = 0, slots_ = 0;
  int late_entries_ = 0;  // open loops that some sequences enter late
};

}  // namespace

std::string StepSpec::site(const std::string& what, int number) const {
  return fmt::format("{}.{}{}{}", what, number, path.empty() ? "" : "@", joined(path, address));
}

std::string StepSpec::opening_site(int group) const {
  bool inside = false;
  const auto number = [&](const LoopPlace& p) {
    inside = inside || p.group == group;
    return inside ? 0 : address(p);
  };
  return fmt::format("loop.{}@{}", group, joined(path, number));
}

std::string StepSpec::readout_name() const {
  return fmt::format("{}{}{}", layer.readout ? layer.readout->layer : -1, path.empty() ? "" : ".",
                     joined(path, [](const LoopPlace& p) { return p.iteration; }));
}

const LoopPolicy& DepthProgram::loop(int group) const {
  static const LoopPolicy none;
  const auto g = static_cast<size_t>(group);
  return g < policy.loops.size() ? policy.loops[g] : none;
}

DepthProgram unroll(const DepthPlan& plan, const Policy& policy) {
  return Unroller(plan, policy).run();
}

}  // namespace fathom
