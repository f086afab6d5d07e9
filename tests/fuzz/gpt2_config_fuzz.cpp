// config.json of a GPT-2: raw, or members that override those of a sound one.
#include "fathom/exchange/gpt2_config.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  static const std::string sound = [] {
    std::string text = gpt2_config_text(BackboneConfig(), 300, 299);
    return text.substr(0, text.rfind('}'));
  }();
  const bool raw = in.below(2) == 0;
  std::string text = grown(in);
  if (!raw) text = sound + "," + text + "}";
  Gpt2Config config;
  if (!accepts(text.size(), [&] { config = read_gpt2_config(text, "x"); })) return;
  const BackboneConfig& b = config.backbone;
  require(b.vocab_size.has_value() && b.n_embd % b.n_head == 0, "the settings hold together");
  const std::string written = gpt2_config_text(b, *b.vocab_size, {});
  const BackboneConfig again = read_gpt2_config(written, "y").backbone;
  require(gpt2_config_text(again, *again.vocab_size, {}) == written,
          "a configuration reads back as it was written");
}

}  // namespace fathom::fuzzing
