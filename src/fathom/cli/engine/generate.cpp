// `fathom generate`
#include <fmt/format.h>

#include <cstdio>

#include "fathom/base/error.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/decode/generate.h"
#include "fathom/model/device.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

int generate_text(const GenerateRequest& request) {
  set_threads(request.model.threads);
  const LoadedModel loaded = load_model(request.model.folder, choose_device(request.model.device));
  if (loaded.tokenizer == nullptr)
    fail("the model's corpus has no tokenizer, so its tokens have no text",
         "prepare the corpus from text with `fathom prepare`");
  const std::vector<uint32_t> ids = loaded.tokenizer->encode(request.start);

  GenerateOptions options;
  options.sampler = {request.temperature, request.top_k};
  options.max_new_tokens = request.max_new_tokens;
  options.block_size = loaded.state.config.model.backbone.block_size;
  options.vocab_size = loaded.tokenizer->vocab_size();
  options.seed = static_cast<uint64_t>(request.seed);
  for (int64_t i = 0; i < request.num_samples; ++i) {
    if (i > 0) fmt::print("\n---------------\n");
    options.sample = static_cast<uint64_t>(i);
    fmt::print("{}", request.start);
    generate(*loaded.model, {ids.begin(), ids.end()}, options, [&](int64_t token) {
      const auto id = static_cast<uint32_t>(token);
      fmt::print("{}", loaded.tokenizer->decode({&id, 1}));
      std::fflush(stdout);
    });
    fmt::print("\n");
  }
  return 0;
}

}  // namespace fathom
