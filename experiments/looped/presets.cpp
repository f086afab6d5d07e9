// Round again: groups of blocks that run several times on what they made, beside what came to them.
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

// ---- The notebook's, as its programs have them

// GPT-2's blocks, one adapter over [x0; state] for all groups, counts drawn for each step.
void loops(RunConfig& c) {
  set_keys(c, {{"loop_groups", "auto"},
               {"max_loops", "30"},
               {"loop_sampling_strategy", "uniform"},
               {"concatenate_initial_representation", "true"},
               {"loop_adapter", "shared"},
               {"loop_noise_scale", "0"},
               {"loops_backprop_depth", "0"},
               {"scale_embeddings", "true"}});
}

// Its later form: sandwich norms, another initialisation, counts around `mean` and gradients of the
// last 8 iterations.
void later_form(RunConfig& c, const char* mean) {
  set_keys(c, {{"block_style", "sandwich"},
               {"init", "takase"},
               {"loop_noise_scale", "1.0"},
               {"loop_sampling_strategy", "log_poisson"},
               {"loop_sampling_rbar", mean},
               {"loop_sampling_sigma", "0.5"},
               {"loops_backprop_depth", "8"}});
}

// Its fixed counts, beside what is evaluated anyway.
constexpr const char* kFixedCounts =
    "train; val; loops_1: max_loops=1, batches=20; loops_5: max_loops=5, batches=20; "
    "loops_15: max_loops=15, batches=20; loops_30: max_loops=30, batches=20";

void defaults(RunConfig& c) {
  loops(c);
  set_keys(c, {{"spectral_clip_beta", "1.0"}, {"evaluations", kFixedCounts}});
}

void fineweb(RunConfig& c) {
  defaults(c);
  BackboneConfig& b = c.model.backbone;
  b.n_layer = b.n_head = 6;
  b.n_embd = 384;
  b.block_size = 512;
  c.data.dataset = "fineweb";
  c.data.batch_size = 12;
  c.data.gradient_accumulation_steps = 1;
  c.schedule.min_lr = 6e-5;
  c.training.max_iters = 60000;
  c.training.eval_interval = 1000;
  c.training.eval_iters = 100;
  set_keys(c, {{"loop_groups", "[[1, 2], [3]]"}, {"spectral_clip_beta", "0.9"}});
}

void gpt2(RunConfig& c) {
  fineweb(c);
  BackboneConfig& b = c.model.backbone;
  b.n_layer = b.n_head = 12;
  b.n_embd = 768;
  c.data.batch_size = 8;
  later_form(c, "32");
  set_keys(c, {{"loop_groups", "[[4], [5, 6], [7]]"}, {"spectral_clip_beta", "0"}});
}

void shakespeare(RunConfig& c) {
  registry().preset("gpt2ish_shakespeare").apply(c);
  loops(c);
  c.model.backbone.dropout = 0;
  c.data.batch_size = 12;
  c.optimizer.learning_rate = 1e-4;
  c.training.eval_iters = 50;
  set_keys(c, {{"loop_groups", "[[2], [3], [4]]"},
               {"max_loops", "20"},
               {"evaluations",
                "train; val; loops_1: max_loops=1, batches=20; loops_5: max_loops=5, batches=20; "
                "loops_15: max_loops=15, batches=20; loops_20: max_loops=20, batches=20"}});
}

// ---- Small ones, of the laptop recipe

// The run of the small ones: looped_tiny takes 35 s on two quiet cores, minutes on busy ones.
void short_run(RunConfig& c) {
  registry().preset("gpt2ish_shakespeare_cpu").apply(c);
  c.training.max_iters = 1500;
  c.training.eval_interval = 500;
}

// A layer before the loop, one in it and one after it: 6 layers deep on average, 9 at most. The
// adapter begins as the mean of input and state, so that iterations settle from the first step on.
void tiny(RunConfig& c) {
  short_run(c);
  loops(c);
  c.model.backbone.n_layer = 3;
  set_keys(c, {{"loop_groups", "[[1]]"},
               {"max_loops", "7"},
               {"loop_adapter_init", "half"},
               {"evaluations", "train; val; loops_1: max_loops=1; loops_7: max_loops=7"}});
}

// Plain models beside looped_tiny: as many parameters (its adapter is 5 % of them), and as many
// FLOPs as it has at its mean count of 4. tests/recipe/looped_presets_test.cpp counts.
void as_many_parameters(RunConfig& c) {
  short_run(c);
  c.model.backbone.n_layer = 3;
  c.model.backbone.n_embd = 132;
}
void as_many_flops(RunConfig& c) {
  short_run(c);
  c.model.backbone.n_layer = 7;
  c.model.backbone.n_embd = 124;
}

// Two groups in a row.
void sandwich(RunConfig& c) {
  tiny(c);
  c.model.backbone.n_layer = 4;
  later_form(c, "3");
  set_keys(c, {{"loop_groups", "[[1], [2]]"}, {"loop_sample_clamp", "12"}});
}

// The recurrent-depth model (Geiping et al. 2025): the state begins as noise of the embeddings' own
// size, sqrt(C) times the notebook's, and every sum is normalised.
void huginn(RunConfig& c) {
  tiny(c);
  later_form(c, "3");
  set_keys(c, {{"block_style", "huginn"},
               {"init", "huginn"},
               {"loop_noise_scale", "11.3"},
               {"loop_noise_eval", "fixed_seed"},
               {"loop_sample_clamp", "12"}});
}

// Two loops of one layer each within a third, each with an adapter of its own: 2 times 2 + 2 layers
// on average.
void nested(RunConfig& c) {
  tiny(c);
  c.model.backbone.n_layer = 4;
  c.training.max_iters = 1000;
  set_keys(c, {{"loop_groups", "[[[1], [2]]]"},
               {"max_loops", "3"},
               {"loop_adapter", "group"},
               {"evaluations", "train; val; loops_1: max_loops=1; loops_3: max_loops=3"}});
}

}  // namespace

void register_looped(Registry& registry) {
  registry.experiment("looped", "round again: groups of blocks run several times in a row");
  registry.add("looped", "the notebook's defaults on GPT-2: the one for its config files",
               defaults);
  registry.add("looped_fineweb",
               "its FineWeb recipe: 6 layers, 384 wide, [[1, 2], [3]] up to 30 times", fineweb);
  registry.add("looped_gpt2",
               "its later form at GPT-2's size: sandwich norms, log-Poisson counts around 32",
               gpt2);
  registry.add("looped_shakespeare",
               "its Shakespeare recipe: 6 layers, 384 wide, [[2], [3], [4]] up to 20 times",
               shakespeare);
  registry.add("looped_tiny", "3 layers, the middle one up to 7 times: a minute on two cores",
               tiny);
  registry.add("looped_tiny_params", "a plain model of looped_tiny's number of parameters",
               as_many_parameters);
  registry.add("looped_tiny_flops", "a plain model of looped_tiny's FLOPs at its mean count",
               as_many_flops);
  registry.add("looped_sandwich", "the later form, small: two groups, sandwich norms, noise",
               sandwich);
  registry.add("looped_huginn",
               "recurrent depth, small: the state begins as noise, all is normalised", huginn);
  registry.add("looped_nested", "loops within a loop, each with its own adapter", nested);
}

}  // namespace fathom
