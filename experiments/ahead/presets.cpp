// Further ahead: the first token of a text says by how many places the answers are shifted.
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

// The notebook's: shifts 1 to 10, each a fifth as frequent as the one before.
void shifts(RunConfig& c) {
  set_keys(c, {{"predict_ahead", "true"}, {"max_shift", "10"}, {"label_shift_prob", "0.8"}});
}

void baby(RunConfig& c) {
  registry().preset("gpt2ish_shakespeare").apply(c);
  c.model.backbone.dropout = 0;
  c.data.batch_size = 12;
  shifts(c);
}

void tiny(RunConfig& c) {
  registry().preset("gpt2ish_shakespeare_cpu").apply(c);
  shifts(c);
}

void looped(RunConfig& c) {
  registry().preset("looped_tiny").apply(c);
  shifts(c);
}

}  // namespace

void register_ahead(Registry& registry) {
  registry.experiment("ahead", "further ahead: a token says how far, and drafts come of it");
  registry.add("ahead", "nanoGPT's baby GPT with shift tokens: 6 layers, 384 wide, 10 shifts",
               baby);
  registry.add("ahead_tiny", "the laptop recipe with shift tokens: 4 layers, 128 wide", tiny);
  registry.add("looped_ahead", "looped_tiny with shift tokens", looped);
}

}  // namespace fathom
