#include "fathom/model/depth_model.h"

#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include "fathom/ops/plain.h"

namespace fathom {
namespace {

// (..., C) -> (..., V), by the head that answered in the record.
Tensor scores(const DepthWalk& walk, const DepthProgram& program, const StepRecord& record,
              const Tensor& n) {
  const ReadoutSpec& readout = *program.steps[size_t(record.step)].layer.readout;
  const LinearParams& head = walk.params().head.at(readout.head);
  return linear(n, head.weight, head.bias);
}

}  // namespace

DepthModel::DepthModel(const DepthPlan& plan, const BackboneConfig& backbone,
                       SupervisionTable supervision, ParameterSet parameters)
    : LanguageModel(std::move(parameters)),
      walk_(plan, backbone, bind(parameters_, plan.tied_heads)),
      supervision_(std::move(supervision)) {}

ModelOutput DepthModel::forward(const Batch& batch, const Pass& pass) const {
  WalkOptions options;
  options.training = pass.training;
  options.random = pass.random;
  options = with_needs(supervision_, options);
  const DepthProgram walk_program = program();
  const Trace trace = walk_.run(walk_program, batch, options);
  ModelOutput output;
  output.losses = supervise(supervision_, walk_, walk_program, batch, trace, options);
  output.metrics = exit_metrics(walk_.plan().halting.config, trace, batch);
  return output;
}

std::map<std::string, double> DepthModel::known_counts(const Batch& batch) const {
  return fathom::known_counts(supervision_, batch);
}

// A walk that keeps what the heads are given, and reads only what halting needs.
Trace DepthModel::read_states(const DepthProgram& program, const Tensor& tokens_BT) const {
  WalkOptions options;
  options.keep_states = true;
  options.read = false;
  Batch batch;
  batch.tokens_BT = tokens_BT;
  return walk_.run(program, batch, options);
}

Tensor DepthModel::logits(const Tensor& tokens_BT) const {
  const DepthProgram walk_program = program();
  const Trace trace = read_states(walk_program, tokens_BT);
  const StepRecord& last = *trace.readouts().back();
  return scores(walk_, walk_program, last, last.n_RC)
      .view({tokens_BT.size(0), tokens_BT.size(1), -1});
}

NextToken DepthModel::next_token(const Tensor& tokens_BT, Exit exit) const {
  const DepthProgram walk_program = program();
  const Trace trace = read_states(walk_program, tokens_BT);
  const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1);
  const auto at_last = [&](const Tensor& x) { return x.view({B, T, -1}).select(1, T - 1); };
  std::vector<const StepRecord*> readouts = trace.readouts();
  const bool halts = walk_.plan().halting.config.rule != HaltRule::kNone;
  if (exit == Exit::kLast || !halts) readouts = {readouts.back()};

  std::vector<Tensor> scores_BV, halts_B, layer_B;
  for (const StepRecord* record : readouts) {
    scores_BV.push_back(scores(walk_, walk_program, *record, at_last(record->n_RC)));
    layer_B.push_back(at::full({B}, record->layer, tokens_BT.options()));
    if (halts) halts_B.push_back(at_last(record->decision.halts_R).squeeze(1));
  }
  if (readouts.size() == 1) return {scores_BV.front(), layer_B.front()};
  const Tensor which_B = answering_readout(halts_B);
  const int64_t V = scores_BV.front().size(1);
  const Tensor index_BV = which_B.view({1, B, 1}).expand({1, B, V});
  return {at::stack(scores_BV).gather(0, index_BV).squeeze(0),
          at::stack(layer_B).gather(0, which_B.unsqueeze(0)).squeeze(0)};
}

std::unique_ptr<LanguageModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          uint64_t seed, at::Device device, at::ScalarType dtype) {
  validate(config);
  const DepthPlan plan = make_depth_plan(config);
  const auto table = parameter_table(plan, config.backbone, vocab_size);
  return std::make_unique<DepthModel>(plan, config.backbone,
                                      make_supervision(config.supervision, config.backbone.n_layer),
                                      ParameterSet(table, seed, device, dtype));
}

}  // namespace fathom
