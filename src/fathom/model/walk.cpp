#include "fathom/model/walk.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "fathom/base/error.h"
#include "fathom/model/graph.h"
#include "fathom/model/recompute.h"

namespace fathom {

// What steps share: a norm that two readers want is computed once, and so is a mask.
class DepthWalk::Shared {
 public:
  Shared(const BlockSettings& settings, const DepthProgram& program) : settings_(settings) {
    for (const StepSpec& step : program.steps)
      if (step.layer.readout) ++readouts_[step.layer.readout->head];
  }

  Masks masks;

  // A head that reads several times would have as many gradients at once.
  bool reads_once(int head) const { return readouts_.at(head) == 1; }

  Tensor norm_of(const Tensor& x_RC, const NormParams& params) {
    const bool known = x_.defined() && x_.is_same(x_RC) && weight_.is_same(params.weight);
    if (known && graph_ == at::GradMode::is_enabled()) return n_;
    x_ = x_RC;
    weight_ = params.weight;
    graph_ = at::GradMode::is_enabled();
    return n_ = norm(x_RC, params, settings_);
  }

 private:
  const BlockSettings& settings_;
  std::map<int, int> readouts_;  // by head
  Tensor x_, weight_, n_;
  bool graph_ = false;
};

std::vector<const StepRecord*> Trace::readouts() const& {
  std::vector<const StepRecord*> out;
  for (const StepRecord& step : steps)
    if (step.readout >= 0) out.push_back(&step);
  return out;
}

DepthWalk::DepthWalk(DepthPlan plan, const BackboneConfig& backbone, Params params,
                     RowFunctions functions)
    : plan_(std::move(plan)),
      backbone_(backbone),
      params_(std::move(params)),
      functions_(std::move(functions)) {
  check_plan(plan_);
  settings_.gelu = backbone.activation == Activation::kGelu ? GeluForm::kExact : GeluForm::kTanh;
  settings_.norm_eps = backbone.norm_eps;
  std::set<std::string> called;
  for (const Wiring& wiring : plan_.wirings) {
    const WiringParts parts = check_wiring(wiring);
    keep_y_ = keep_y_ || parts.reads_y;
    called.insert(parts.functions.begin(), parts.functions.end());
  }
  for (const std::string& name : called)
    if (functions_.count(name) == 0)
      fail(fmt::format("a wiring calls F.{}, which nobody has defined", name),
           "give it to the model as ModelParts::functions, in the experiment's model.cpp");
  for (const auto& [name, function] : functions_)
    if (called.count(name) == 0)
      fail(fmt::format("F.{} is defined, and no wiring calls it", name),
           "call it in the plan's wiring, in the experiment's presets.cpp");
}

DropoutSource DepthWalk::dropout(const Rows& rows, double p, const WalkOptions& options) const {
  if (!options.training) return {};
  return [&rows, &options, p](const std::string& site, int64_t width) {
    return options.random.row_draws(site, p, rows, width);
  };
}

Carry DepthWalk::stem(const Rows& rows, const WalkOptions& options) const {
  for (const int64_t position : rows.positions())
    if (position >= backbone_.block_size)
      fail(fmt::format("{} positions do not fit block_size = {}", position + 1,
                       backbone_.block_size));
  const Tensor& table = params_.token_table.at(plan_.stem.token_table);
  const Tensor r_RC =
      embed(embed(Tensor(), table, rows.token_R), params_.position_table, rows.position_R);
  const double p = backbone_.embed_dropout.value_or(backbone_.dropout);
  Carry carry;
  carry.r_RC = r_RC;
  if (const DropoutSource source = dropout(rows, p, options))
    carry.r_RC = apply_dropout(r_RC, source("embedding", r_RC.size(-1)));
  return carry;
}

Carry DepthWalk::step(const StepSpec& step, const Params& params,
                      const std::shared_ptr<const Rows>& rows, Carry carry, const Tensor& hidden_R,
                      const WalkOptions& options, Shared& shared) const {
  const GraphIf graph(step.grad);
  const LayerSpec& layer = step.layer;
  if (layer.cut) carry = carry.detached();
  const Visibility visibility = {layer.context, hidden_R, plan_.halting.mask_self, plan_.causal};
  if (options.cache != nullptr) {
    CachedAttention attention(*rows, *options.cache, visibility, backbone_.n_head);
    return block(step, params, *rows, std::move(carry), attention, options, shared);
  }
  const double p = options.training ? backbone_.attn_dropout.value_or(backbone_.dropout) : 0;
  const AttentionMask mask = shared.masks.of(*rows, visibility);
  if (!options.recompute_blocks || !at::GradMode::is_enabled()) {
    WalkAttention attention(*rows, mask, backbone_.n_head,
                            {p, &options.random, backbone_.block_size});
    return block(step, params, *rows, std::move(carry), attention, options, shared);
  }
  // By value: the backward pass comes when this call is long over.
  return recomputed(
      [=](Carry start) {
        WalkAttention attention(*rows, mask, backbone_.n_head,
                                {p, &options.random, backbone_.block_size});
        Shared own(settings_, {});
        return block(step, params, *rows, std::move(start), attention, options, own);
      },
      carry);
}

// From a step's door to its readout.
Carry DepthWalk::block(const StepSpec& step, const Params& params, const Rows& rows, Carry carry,
                       AttentionContext& attention, const WalkOptions& options,
                       Shared& shared) const {
  carry = inject(step, params, rows, std::move(carry), options.random);
  const Tensor n_RC = shared.norm_of(carry.r_RC, params.norm(step.layer.norm_in));
  const double residual = backbone_.residual_dropout.value_or(backbone_.dropout);
  carry = run_block(plan_.wirings[size_t(step.layer.wiring)], step, params, std::move(carry), n_RC,
                    keep_y_, attention, dropout(rows, residual, options), settings_, functions_);
  for (int i = 0; i < step.closes_loops; ++i) carry.x0_RC.pop_back();
  return carry;
}

// The reading after a step and, with a halting rule, the decision that follows from it.
void DepthWalk::read_out(const StepSpec& spec, const Carry& carry, const Tensor& targets_R,
                         const WalkOptions& options, Shared& shared, StepRecord& record) const {
  const HaltingConfig& halting = plan_.halting.config;
  const bool halts = halting.rule != HaltRule::kNone;
  const Rows& rows = *record.rows;
  record.layer = spec.layer.readout->layer;
  const GraphIf graph(spec.grad);
  const Tensor n_RC = shared.norm_of(carry.r_RC, params_.norm(spec.layer.readout->norm));
  if (options.keep_states) record.n_RC = n_RC;
  if (!options.read && !halts) return;
  ReadoutRequest request;
  if (targets_R.defined()) request.ids_R = rows.of(targets_R);
  request.confidence_temperature = halting.temperature;
  request.grad_of_max = options.grad_of_max;
  const std::vector<bool>& expecting = options.expected.layers;
  const LinearParams& head = params_.head.at(spec.layer.readout->head);
  // A gradient made now is there until backward; beside one that is there already (of another pass
  // of the step) it would be memory for nothing.
  const bool has_gradient = head.weight.is_leaf() && head.weight.grad().defined();
  if (!has_gradient && shared.reads_once(spec.layer.readout->head) &&
      size_t(record.layer) < expecting.size() && expecting[size_t(record.layer)])
    request.expected_R = options.expected.of_ln_p_R;
  record.reading = readout(n_RC, head, request);
  if (!halts) return;
  record.decision = decide(halting, size_t(record.layer), record.reading, request.ids_R,
                           rows.valid_R, options.training);
  if (options.replay != nullptr)
    record.decision.halts_R = rows.of((*options.replay)[size_t(record.readout)]);
}

Trace DepthWalk::run(const DepthProgram& program, const Batch& batch,
                     const WalkOptions& options) const {
  return run(program, std::make_shared<const Rows>(batch), batch.targets_BT, options);
}

Trace DepthWalk::run(const DepthProgram& program, std::shared_ptr<const Rows> rows,
                     const Tensor& targets_R, const WalkOptions& options) const {
  const HaltingSpec& halting = plan_.halting;
  const bool halts = halting.config.rule != HaltRule::kNone;
  if (options.skip && halts && halting.history != MaskHistory::kCumulative)
    fail("rows cannot leave the walk with mask_history = previous",
         "a token that may come back has to be computed; take mask_history = cumulative");
  if (options.cache != nullptr && !plan_.causal)
    fail("a walk that is not causal has no use for earlier keys", "compute the whole text anew");
  const GraphIf graph(options.cache == nullptr);
  Trace trace;
  trace.all = rows;
  trace.steps.reserve(program.steps.size());
  Shared shared(settings_, program);
  Carry carry = stem(*rows, options);
  Tensor hidden_R, done_R;
  int readouts = 0;
  for (const StepSpec& spec : program.steps) {
    StepRecord record;
    record.step = spec.index;
    record.rows = rows;
    record.hidden_R = hidden_R;
    record.done_R = done_R;
    if (options.keep_doors) record.door = carry;
    carry = step(spec, params_, rows, std::move(carry), hidden_R, options, shared);
    if (spec.layer.readout) {
      record.readout = readouts++;
      read_out(spec, carry, targets_R, options, shared, record);
    }
    const Tensor halts_R = record.decision.halts_R;
    trace.steps.push_back(std::move(record));
    if (!halts_R.defined()) continue;
    if (options.skip) {
      const Tensor stays_R = halts_R.logical_not();
      rows = std::make_shared<const Rows>(rows->select(stays_R));
      carry = carry.select(stays_R.nonzero().squeeze(1));
      if (rows->count() == 0) break;
      continue;
    }
    done_R = done_R.defined() ? done_R.logical_or(halts_R) : halts_R;
    hidden_R = halting.history == MaskHistory::kCumulative ? done_R : halts_R;
  }
  trace.end = std::move(carry);
  return trace;
}

Carry DepthWalk::segment(const DepthProgram& program, const Trace& trace, const Segment& segment,
                         const Carry& start, const WalkOptions& options) const {
  if (segment.last > trace.steps.size() || segment.first > segment.last)
    fail(fmt::format("a segment of steps {} to {} does not fit a walk of {}", segment.first,
                     segment.last, trace.steps.size()));
  const Params params = segment.live_params ? params_ : frozen(params_);
  Carry carry = segment.live_carry ? start : start.detached();
  Shared shared(settings_, program);
  for (size_t i = segment.first; i < segment.last; ++i)
    carry = step(program.steps[i], params, trace.all, std::move(carry), trace.steps[i].hidden_R,
                 options, shared);
  return carry;
}

Reading DepthWalk::read(const StepSpec& step, const Carry& carry, const ReadoutRequest& request,
                        bool live_params) const {
  if (!step.layer.readout) fail(fmt::format("step {} has no readout", step.index));
  const Params params = live_params ? params_ : frozen(params_);
  const Tensor n_RC = norm(carry.r_RC, params.norm(step.layer.readout->norm), settings_);
  return readout(n_RC, params.head.at(step.layer.readout->head), request);
}

}  // namespace fathom
