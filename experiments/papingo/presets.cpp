// Leave early: a token table and a head per layer, and a token that a layer is sure of is answered
// there and hidden from the layers after it.
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

void exits(RunConfig& c) {
  c.model.backbone.tie_head = false;
  EarlyExitConfig& e = c.model.early_exit;
  e.layer_tables = e.layer_heads = true;
  c.model.halting.rule = HaltRule::kMax;
  c.model.halting.threshold = 0.9;
  c.model.supervision.layer_supervision = {"all", {}};
}

// The recipes are the plain transformer's, so that the two compare. The published numbers were made
// with masks that only the previous layer decides.
void over(const char* recipe, RunConfig& c) {
  registry().preset(recipe).apply(c);
  exits(c);
  c.model.halting.mask_history = MaskHistory::kPrevious;
}

void a100(RunConfig& c) {
  over("gpt2ish_shakespeare", c);
}

void cpu(RunConfig& c) {
  over("gpt2ish_shakespeare_cpu", c);
}

void cumulative(RunConfig& c) {
  cpu(c);
  c.model.halting.mask_history = MaskHistory::kCumulative;
}

void small(RunConfig& c) {
  cumulative(c);
  BackboneConfig& b = c.model.backbone;
  b.n_layer = b.n_head = 2;
  b.n_embd = 64;
  b.block_size = 32;
  c.training.max_iters = 500;
  c.training.eval_interval = 100;
}

void growing(RunConfig& c) {
  cumulative(c);
  c.model.backbone.block_size = 128;
  c.model.backbone.n_embd = 256;
  c.model.early_exit.layer_widths = {64, 128, 256, 256};
  c.model.early_exit.gate_mode = GateMode::kLearned;
}

}  // namespace

void register_papingo(Registry& registry) {
  registry.experiment("papingo", "leave early: each layer answers what it is sure of");
  registry.add("papingo", "the published laptop recipe: 4 layers, 128 wide, threshold 0.9", cpu);
  registry.add("papingo_a100", "the published A100 recipe: 6 layers, 384 wide", a100);
  registry.add("papingo_cumulative",
               "the laptop recipe where an answered token never comes back (and can be skipped)",
               cumulative);
  registry.add("papingo_widths", "layers of growing width with gates: 64, 128, 256, 256", growing);
  registry.add("papingo_small", "2 layers, 64 wide, 500 steps: to try things on", small);
}

}  // namespace fathom
