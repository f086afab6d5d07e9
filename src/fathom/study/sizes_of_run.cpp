#include "fathom/study/sizes_of_run.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/data/corpus.h"
#include "fathom/model/device.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/walk_sizes.h"
#include "fathom/train/batches.h"
#include "fathom/train/recipe/stage_data.h"

namespace fathom {
namespace {

SizeOptions options_of(const SizesJob& request) {
  SizeOptions options;
  options.eps = request.eps;
  options.ranked_rows = request.rank_rows;
  options.bins = static_cast<size_t>(request.bins);
  options.gradients = request.gradients;
  return options;
}

const DepthModel& walk_of(const Model& model, const std::string& name) {
  const auto* depth = dynamic_cast<const DepthModel*>(&model);
  if (depth == nullptr)
    fail(fmt::format("{} has no sizes to look at: its model is no depth walk", name),
         "take a run of a preset that `fathom list` shows");
  return *depth;
}

// `sequences`: of all batches.
std::string extent(int64_t batches, int64_t sequences, int64_t tokens) {
  return fmt::format("{} with {} of up to {}", counted(batches, "batch", "batches"),
                     counted(sequences, "sequence"), counted(tokens, "token"));
}

SizeFacts sizes_of_trained(const SizesJob& request) {
  set_threads(request.model.threads);
  const at::Device device = choose_device(request.model.device);
  const LoadedModel loaded = load_chosen(request.model, device);
  const DepthModel& model =
      walk_of(next_token_model(loaded, request.model, "sizes"), request.model.run);
  RunConfig config = loaded.state.config;
  const int64_t B = request.sequences_of(config), T = request.tokens_of(config);
  config.model.backbone.block_size = T;  // of the windows alone: the model is made
  const Corpus corpus = open_for(loaded, request.model, config, request.dataset);
  is_training_corpus(corpus, loaded.state, request.dataset);
  const auto whole = whole_split(corpus, config, request.split, B);
  const int64_t batches = std::min(request.batches, whole->batches());
  RunConfig there = config;
  there.training.device = request.model.device;
  require_room(request, there, loaded.state.vocab_size, std::min(B, whole->draws()));
  WalkSizes sizes(model, options_of(request));
  Cursor cursor = whole->start();
  int64_t sequences = 0;
  for (int64_t i = 0; i < batches; ++i) {
    const Drawn drawn = whole->next(cursor);
    cursor = drawn.after;
    sequences += drawn.batch.B;
    sizes.add(to_batch(drawn.batch, device));
  }
  SizeFacts facts = sizes.facts();
  facts.source =
      fmt::format("{}/{}, {}", corpus.name(), request.split, extent(batches, sequences, T));
  return facts;
}

// Uniform over the vocabulary, each followed by the next.
TokenBatch random_batch(int64_t B, int64_t T, int64_t vocab, const RandomStream& numbers,
                        uint64_t& next) {
  TokenBatch batch = empty_batch(B, T);
  const auto draw = [&] {
    const auto token = static_cast<int64_t>(numbers.uniform(next++) * static_cast<double>(vocab));
    return std::min(token, vocab - 1);
  };
  for (int64_t b = 0; b < B; ++b) {
    int64_t token = draw();
    for (int64_t t = 0; t < T; ++t) {
      const auto i = static_cast<size_t>(b * T + t);
      batch.tokens[i] = token;
      batch.targets[i] = token = draw();
    }
  }
  return batch;
}

SizeFacts sizes_at_start(const SizesJob& request) {
  const RunConfig& config = request.config;
  set_threads(config.training.threads);
  const at::Device device = choose_device(config.training.device);
  const auto seed = static_cast<uint64_t>(config.training.seed);
  const auto made = make_model(config.model, request.vocab_size, seed, device);
  WalkSizes sizes(walk_of(*made, request.model.run), options_of(request));
  const int64_t B = request.sequences_of(config), T = request.tokens_of(config);
  const RandomStream numbers(seed, "sizes");
  uint64_t next = 0;
  for (int64_t i = 0; i < request.batches; ++i)
    sizes.add(to_batch(random_batch(B, T, request.vocab_size, numbers, next), device));
  SizeFacts facts = sizes.facts();
  facts.source = fmt::format("random tokens, {}", extent(request.batches, request.batches * B, T));
  return facts;
}

}  // namespace

SizeFacts sizes_of_run(const SizesJob& request) {
  SizeFacts facts = request.untrained ? sizes_at_start(request) : sizes_of_trained(request);
  facts.run = request.model.run + (request.untrained ? " as it begins" : "");
  return facts;
}

}  // namespace fathom
