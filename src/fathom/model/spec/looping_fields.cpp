// The section `looping` of a configuration.
#include "fathom/model/spec/looping_config.h"

namespace fathom {
namespace {

void add_sampling_fields(FieldList& list, LoopingConfig& c) {
  const char* const kDraws = "loop_sampling_strategy = uniform or log_poisson";
  const auto draws = [&c] { return c.sampling != LoopSampling::kFixed; };
  const char* const kPoisson = "loop_sampling_strategy = log_poisson";
  const auto poisson = [&c] { return c.sampling == LoopSampling::kLogPoisson; };
  const auto loops = [&c] { return c.loops(); };
  list.add<LoopSampling>("loop_sampling_strategy", c.sampling,
                         "how often groups run in a training step; fixed: loop_counts, else "
                         "max_loops; uniform: 1 to max_loops; log_poisson: 1 + Poisson of a "
                         "log-normal rate",
                         {{"fixed", LoopSampling::kFixed},
                          {"uniform", LoopSampling::kUniform},
                          {"log_poisson", LoopSampling::kLogPoisson}})
      .needs("loop_groups", loops);
  list.add("loop_sampling_rbar", c.rbar,
           "mean of the Poisson number, one less than the count's; None: (max_loops + 1) / 2 - 1, "
           "at least 1")
      .above(0)
      .at_most(1000)
      .needs("loop_groups", loops)
      .needs(kPoisson, poisson);
  list.add("loop_sampling_sigma", c.sigma, "standard deviation of the logarithm of the rate")
      .above(0)
      .at_most(2)
      .needs("loop_groups", loops)
      .needs(kPoisson, poisson);
  list.add("loop_sample_clamp", c.clamp, "a larger count that is drawn is this; None: none is")
      .at_least(1)
      .at_most(kMostLoops)
      .needs("loop_groups", loops)
      .needs(kDraws, draws);
  list.add<SamplingUnit>(
          "loop_sampling_unit", c.unit,
          "what a count is drawn for: a step, all of its sequences alike, or each sequence",
          {{"step", SamplingUnit::kStep}, {"sequence", SamplingUnit::kSequence}})
      .needs("loop_groups", loops)
      .needs(kDraws, draws);
  list.add<EvalCounts>(
          "loop_counts_eval", c.eval_counts,
          "how often groups run in evaluation; fixed: loop_counts, else the mean of what training "
          "draws; sampled: a count for each sequence, drawn as training draws it, the same in "
          "every "
          "evaluation",
          {{"fixed", EvalCounts::kFixed}, {"sampled", EvalCounts::kSampled}})
      .of_policy()
      .needs("loop_groups", loops)
      .needs(kDraws, draws);
}

void add_door_fields(FieldList& list, LoopingConfig& c) {
  const char* const kAdapts = "concatenate_initial_representation = true";
  const auto adapts = [&c] { return c.concatenate; };
  const auto loops = [&c] { return c.loops(); };
  list.add("concatenate_initial_representation", c.concatenate,
           "before each iteration a linear map of the group's input beside its state; false: their "
           "sum")
      .shapes_weights()
      .needs("loop_groups", loops);
  list.add<LoopAdapter>("loop_adapter", c.adapter,
                        "shared: one linear map for all groups; group: one for each",
                        {{"shared", LoopAdapter::kShared}, {"group", LoopAdapter::kGroup}})
      .shapes_weights()
      .needs("loop_groups", loops)
      .needs(kAdapts, adapts);
  list.add<AdapterInit>("loop_adapter_init", c.adapter_init,
                        "how the map begins; normal: by init, identity: the group's input, half: "
                        "the mean of input and state",
                        {{"normal", AdapterInit::kNormal},
                         {"identity", AdapterInit::kIdentity},
                         {"half", AdapterInit::kHalf}})
      .shapes_weights()
      .needs("loop_groups", loops)
      .needs(kAdapts, adapts);
  list.add("single_pass_adapter", c.single_pass_adapter,
           "map, norm and signal act in a group that runs once as well")
      .shapes_weights()
      .needs("loop_groups", loops)
      .needs("concatenate_initial_representation, loop_norm or loop_signal", [&c] {
        return c.concatenate || c.norm != LoopNorm::kNone || c.signal != LoopSignal::kNone;
      });
  list.add("loop_noise_scale", c.noise_scale,
           "the first state is noise of standard deviation this * sqrt(2/(5C)), its variance times "
           "the order of nesting; 0: the group's input, or zeros where it is added")
      .at_least(0)
      .of_policy()
      .needs("loop_groups", loops);
  list.add<NoiseInEval>("loop_noise_eval", c.noise_eval,
                        "noise in evaluation and generation; same: as in training, zero: its mean, "
                        "fixed_seed: the same for every sequence and pass",
                        {{"same", NoiseInEval::kSame},
                         {"zero", NoiseInEval::kZero},
                         {"fixed_seed", NoiseInEval::kFixedSeed}})
      .of_policy()
      .needs("loop_groups", loops)
      .needs("loop_noise_scale > 0", [&c] { return c.noise_scale > 0; });
  list.add("loops_backprop_depth", c.backprop_depth,
           "last iterations of a group that a gradient goes through; None or 0: all")
      .at_least(-1)
      .at_most(kMostLoops)
      .needs("loop_groups", loops);
  list.add<LoopNorm>(
          "loop_norm", c.norm, "a norm of the group's own after its input, before each iteration",
          {{"none", LoopNorm::kNone}, {"layer", LoopNorm::kLayer}, {"rms", LoopNorm::kRms}})
      .shapes_weights()
      .needs("loop_groups", loops);
  list.add<LoopSignal>("loop_signal", c.signal,
                       "learned, by iteration, last at the group's door; vector: added, scale: one "
                       "number that multiplies; beyond max_loops that of the last",
                       {{"none", LoopSignal::kNone},
                        {"vector", LoopSignal::kVector},
                        {"scale", LoopSignal::kScale}})
      .shapes_weights()
      .needs("loop_groups", loops);
}

}  // namespace

void add_fields(FieldList& list, LoopingConfig& c) {
  const auto loops = [&c] { return c.loops(); };
  list.section("looping");
  list.add("use_baseline_model", c.use_baseline_model,
           "the plain model: what presets and config files say of loops and of looking ahead is "
           "left out")
      .alias("use_model_baseline")
      .shapes_weights();
  list.add("loop_groups", c.groups,
           "groups of layers that run several times in a row, [[1, 2], [3]]; lists in a group are "
           "groups within it; auto: the middle layer",
           {"auto"})
      .at_least(0)
      .at_most(9999)
      .shapes_weights()
      .usual();
  list.add("loop_counts", c.counts,
           "how often each group runs where no count is drawn, in the order of loop_groups, an "
           "outer group before those in it; None: max_loops, or what a drawing strategy has on "
           "average")
      .at_least(1)
      .at_most(kMostLoops)
      .of_policy()
      .needs("loop_groups", loops);
  list.add("max_loops", c.max_loops,
           "largest count of a group in training, where one is drawn; the count where none is; in "
           "an "
           "evaluation, of that pass")
      .at_least(1)
      .at_most(kMostLoops)
      .shapes_weights()
      .of_policy()
      .needs("loop_groups", loops);
  add_sampling_fields(list, c);
  add_door_fields(list, c);
}

}  // namespace fathom
