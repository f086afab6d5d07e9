// Settings of a run, `key=value` a line, and what they mean in the light of one another.
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/run_config.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  std::vector<std::string> notices;
  const bool accepted = accepts(1 << 12, [&] {
    while (!in.empty()) {
      // A key of one byte is any of the keys: a mutation seldom spells one.
      const std::string typed = in.text('=');
      const auto number = static_cast<uint8_t>(typed.empty() ? 0 : typed[0]);
      const std::string key =
          typed.size() == 1 ? list.all()[number % list.all().size()].name() : typed;
      list.set_text(key, in.text('\n'), "--option");
    }
    notices = resolve(list, config);
  });
  if (!accepted) return;
  for (const std::string& notice : notices) require_printable(notice);
  require(config.sequences_per_step() >= 1 && config.micro_batch_size() >= 1, "a step has rows");
  require(config.tokens_per_step() >= 1, "a step has tokens");
  require(settled_vocab_size(config, 2) >= 2, "a vocabulary");
  if (config.model.backbone.n_layer <= 64) parameter_table(config.model, 100);
}

}  // namespace fathom::fuzzing
