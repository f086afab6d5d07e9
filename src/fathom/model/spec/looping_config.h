// Layers that run several times in a row: which, how often in training and in evaluation, and what
// enters at their door. When a token has been round often enough is loop_halting's.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"
#include "fathom/model/spec/injection.h"
#include "fathom/model/spec/loop_sampler.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class LoopAdapter { kShared, kGroup };
enum class LoopNorm { kNone, kLayer, kRms };
enum class LoopSignal { kNone, kVector, kScale };
// What a drawn count is of: of all sequences of an optimiser step, or of each by itself.
enum class SamplingUnit { kStep, kSequence };
// In evaluation; kSampled: of each sequence as training draws them.
enum class EvalCounts { kFixed, kSampled };

struct LoopingConfig {
  bool use_baseline_model = false;  // train/recipe/baseline.h
  ChoiceOrTree groups;              // "auto", or groups of layers and groups; an empty list: none
  IntList counts;                   // in evaluation, and in training that draws none
  int64_t max_loops = 30;
  LoopSampling sampling = LoopSampling::kUniform;
  std::optional<double> rbar;  // unset: the mean of kUniform, or a count of 2
  double sigma = 0.5;
  std::optional<int64_t> clamp;
  SamplingUnit unit = SamplingUnit::kStep;
  EvalCounts eval_counts = EvalCounts::kFixed;
  bool concatenate = true;  // the adapter's linear map of [x0; state]; false: x0 + state
  LoopAdapter adapter = LoopAdapter::kShared;
  AdapterInit adapter_init = AdapterInit::kNormal;
  bool single_pass_adapter = true;
  double noise_scale = 0;
  NoiseInEval noise_eval = NoiseInEval::kSame;
  std::optional<int64_t> backprop_depth = 0;  // unset, or below 1: all
  LoopNorm norm = LoopNorm::kNone;
  LoopSignal signal = LoopSignal::kNone;

  bool loops() const { return !groups.choice.empty() || !groups.list.empty(); }
  LoopSampler sampler() const;
};

// A loop group: its layers, and the groups within it by their first layers.
struct LoopSpan {
  int64_t first = 0, last = 0;
  size_t place = 0;  // among the groups as they are written, an outer one before those in it
  int order = 1;     // of nesting: in a group that is in another one, 2
  std::vector<LoopSpan> inner;
};

// The groups by their first layers. Throws Error(kUsage) for a group that is empty, has a gap or a
// layer that is not there, and for groups that overlap.
std::vector<LoopSpan> loop_spans(const LoopingConfig& config, int64_t n_layer);
// Every group in the order of the plan's (Policy::loops), an outer one before those in it.
void each_span(const std::vector<LoopSpan>& spans, const std::function<void(const LoopSpan&)>& see);
// How many there are. What has one entry a group (loop_counts, ...) is in the order in which they
// are written: entry LoopSpan::place is the group's.
size_t span_count(const std::vector<LoopSpan>& spans);

// LoopSpan::place of every group in the plan's order.
std::vector<size_t> loop_places(const LoopingConfig& config, int64_t n_layer);

// Of a training pass, by the true mean of the counts: n_layer and what loops add (their counts are
// drawn independently).
double effective_layers(const LoopingConfig& config, int64_t n_layer);

void add_fields(FieldList& list, LoopingConfig& config);
// Throws Error(kUsage) for groups and counts that do not fit.
void validate(const LoopingConfig& config, const BackboneConfig& backbone);
// Groups of the plan's layers, which are all there, and what a pass does with them.
void apply(const LoopingConfig& section, DepthPlan& plan, Policy& policy);
// A sentence for each setting that is probably not meant.
std::vector<std::string> remarks(const LoopingConfig& config);

}  // namespace fathom
