// The reference every idea is measured against: LMPlay's gpt2ish in its five sizes, and nanoGPT's
// two Shakespeare recipes.
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

// LMPlay: biases everywhere, an untied head, framework initialisation, AdamW at a constant rate.
void lmplay(RunConfig& c, int64_t n_layer, int64_t n_head, int64_t n_embd) {
  BackboneConfig& b = c.model.backbone;
  b.n_layer = n_layer;
  b.n_head = n_head;
  b.n_embd = n_embd;
  b.block_size = 1024;
  b.bias = b.head_bias = true;
  b.tie_head = false;
  b.dropout = 0.1;
  b.init = Init::kTorch;
  c.data.batch_size = 50;
  c.data.mini_batch_size = 4;
  c.optimizer.learning_rate = 6e-4;
  c.optimizer.weight_decay = 0.01;
  c.optimizer.beta2 = 0.999;
  c.optimizer.grad_clip = 0;
  c.optimizer.decay_rule = DecayRule::kMlpAndHead;
  c.schedule.decay_lr = false;
  // LMPlay looks at one batch of 4 every 100 sequences; these are as many, and far less noisy.
  c.training.validation_interval = 1000;
  c.training.validation_batch_size = 4;
  c.training.eval_iters = 10;
  c.training.save_interval = 10000;
}

// nanoGPT's defaults to the letter; what is not here is ours by default.
void nanogpt(RunConfig& c) {
  c.data.dataset = "openwebtext";
  c.data.gradient_accumulation_steps = 40;
  c.schedule.min_lr = 6e-5;
  c.schedule.lr_decay_iters = 600000;
}

// nanoGPT: no biases, a tied head, N(0, 0.02), cosine decay.
void shakespeare(RunConfig& c) {
  BackboneConfig& b = c.model.backbone;
  b.n_layer = b.n_head = 6;
  b.n_embd = 384;
  b.block_size = 256;
  b.dropout = 0.2;
  c.data.dataset = "shakespeare_char";
  c.data.batch_size = 64;
  c.optimizer.learning_rate = 1e-3;
  c.optimizer.beta2 = 0.99;
  c.schedule.warmup_iters = 100;
  c.training.max_iters = 5000;
  c.training.eval_interval = 250;
  c.training.eval_iters = 200;
}

void shakespeare_cpu(RunConfig& c) {
  shakespeare(c);
  BackboneConfig& b = c.model.backbone;
  b.n_layer = b.n_head = 4;
  b.n_embd = 128;
  b.block_size = 64;
  b.dropout = 0;
  c.data.batch_size = 12;
  c.training.max_iters = 2000;
  c.training.eval_iters = 20;
}

}  // namespace

void register_gpt2ish(Registry& registry) {
  registry.experiment("gpt2ish",
                      "the plain transformer that every other experiment is compared with");
  registry.add("gpt2ish",
               "LMPlay's reference: 6 blocks, 768 wide (its attention dropout, off there, acts)",
               [](RunConfig& c) { lmplay(c, 6, 12, 768); });
  registry.add("gpt2ish_med", "24 blocks, 1024 wide",
               [](RunConfig& c) { lmplay(c, 24, 16, 1024); });
  registry.add("gpt2ish_large", "36 blocks, 1280 wide",
               [](RunConfig& c) { lmplay(c, 36, 20, 1280); });
  registry.add("s_gpt2ish", "deep and narrow: 18 blocks, 288 wide",
               [](RunConfig& c) { lmplay(c, 18, 6, 288); });
  registry.add("test_runner", "the smallest: 6 blocks, 64 wide",
               [](RunConfig& c) { lmplay(c, 6, 2, 64); });
  registry.add("gpt2",
               "nanoGPT's GPT-2: 12 blocks, 768 wide, its defaults; the one for its config files",
               nanogpt);
  registry.add("gpt2ish_shakespeare", "nanoGPT's baby GPT on characters: 6 blocks, 384 wide",
               shakespeare);
  registry.add("gpt2ish_shakespeare_cpu",
               "nanoGPT's laptop recipe: 4 blocks, 128 wide, 2,000 steps", shakespeare_cpu);
  registry.set_example("gpt2ish_shakespeare_cpu");
  registry.add("quickstart",
               "what ./quickstart trains: the laptop recipe, about two minutes on two cores",
               shakespeare_cpu);
}

}  // namespace fathom
