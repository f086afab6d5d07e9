#include "fathom/study/asked/sizes_job.h"

#include <fmt/format.h>

#include "fathom/base/text.h"
#include "fathom/train/recipe/fits_memory.h"

namespace fathom {

void require_room(const SizesJob& request, const RunConfig& config, int64_t vocab_size,
                  int64_t sequences) {
  const BackboneConfig& b = config.model.backbone;
  const int64_t tokens = request.tokens_of(config);
  // Of each layer the carry, its norm, and what attention and MLP give; of one of them in double
  // precision the carry before and after it, and the difference.
  const double bytes = static_cast<double>(sequences) * static_cast<double>(tokens) *
                       static_cast<double>(16 * b.n_layer + 24) * static_cast<double>(b.n_embd);
  require_memory(
      config, vocab_size, bytes,
      fmt::format("{} of {} and what {} of them", counted(sequences, "sequence"),
                  counted(tokens, "token"),
                  b.n_layer == 1 ? "a layer makes" : fmt::format("{} layers make", b.n_layer)),
      "sequences or tokens");
}

int64_t SizesJob::sequences_of(const RunConfig& of) const {
  return sequences.value_or(untrained ? 1 : of.micro_batch_size());
}

int64_t SizesJob::tokens_of(const RunConfig& of) const {
  return tokens.value_or(of.model.backbone.block_size);
}

}  // namespace fathom
