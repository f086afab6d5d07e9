// `fathom generate`
#include <fmt/format.h>

#include <cstdio>
#include <map>

#include "fathom/base/error.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/decode/generate.h"
#include "fathom/model/device.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

namespace {

// Beside the text, which may go into a file.
void print_answers(const std::map<int64_t, int64_t>& answers, const GenerateRequest& request) {
  std::string line = "answered by";
  const auto total = static_cast<double>(request.num_samples * request.max_new_tokens);
  for (const auto& [layer, count] : answers)
    line += fmt::format(" | layer {}: {:.1f} %", layer, 100.0 * static_cast<double>(count) / total);
  fmt::print(stderr, "{}\n", line);
}

}  // namespace

int generate_text(const GenerateRequest& request) {
  for (const std::string& notice : request.notices) fmt::print(stderr, "note: {}\n", notice);
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
  options.exit = request.exit;
  std::map<int64_t, int64_t> answers;  // by layer
  for (int64_t i = 0; i < request.num_samples; ++i) {
    if (i > 0) fmt::print("\n---------------\n");
    options.sample = static_cast<uint64_t>(i);
    fmt::print("{}", request.start);
    generate(*loaded.model, {ids.begin(), ids.end()}, options, [&](int64_t token, int64_t layer) {
      const auto id = static_cast<uint32_t>(token);
      ++answers[layer];
      fmt::print("{}", loaded.tokenizer->decode({&id, 1}));
      std::fflush(stdout);
    });
    fmt::print("\n");
  }
  std::fflush(stdout);
  if (loaded.state.config.model.halting.rule != HaltRule::kNone) print_answers(answers, request);
  return 0;
}

}  // namespace fathom
