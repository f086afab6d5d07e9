#include "fathom/study/trace_of_run.h"

#include <fmt/format.h>

#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/data/corpus.h"
#include "fathom/model/device.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/trace_text.h"
#include "fathom/track/console.h"
#include "fathom/track/stage_line.h"
#include "fathom/train/recipe/data_options.h"

namespace fathom {
namespace {

constexpr int64_t kDefaultTokens = 300;

// How many of `tokens` to keep: up to and with the one that holds the n-th end of a sentence. The
// first token is only context.
size_t end_of_sentences(const Tokenizer& tokenizer, const std::vector<int64_t>& tokens,
                        int64_t sentences) {
  if (sentences <= 0) return tokens.size();
  for (size_t i = 1; i < tokens.size(); ++i) {
    const auto id = static_cast<uint32_t>(tokens[i]);
    const std::string text = tokenizer.decode({&id, 1});
    if (text.find_first_of(".!?") != text.npos && --sentences == 0) return i + 1;
  }
  return tokens.size();
}

// Of the text before it is cut at the end of a sentence.
int64_t token_limit(const TraceJob& request, int64_t most) {
  return request.num_chars.value_or(request.text ? std::numeric_limits<int64_t>::max()
                                                 : std::min(kDefaultTokens, most));
}

// Where a text begins: in a shard, and counted over all shards of the split.
struct Place {
  const TokenShard* shard;
  int64_t offset, in_split;
};

// `limit`: tokens that a text anywhere has, if its shard does.
Place find_place(const TraceJob& request, const Corpus& corpus, int64_t limit) {
  const std::vector<TokenShard>& shards = corpus.shards(request.split);
  const bool anywhere = request.start_idx < 0;
  const auto starts = [&](const TokenShard& shard) {
    const auto size = static_cast<int64_t>(shard.size());
    return anywhere ? std::max<int64_t>(size - limit + 1, 1) : size;
  };
  int64_t total = 0, before = 0;
  for (const TokenShard& shard : shards) total += starts(shard);
  const double u = RandomStream(static_cast<uint64_t>(request.seed), "trace").uniform(0);
  int64_t start =
      anywhere ? static_cast<int64_t>(u * static_cast<double>(total)) : request.start_idx;
  for (const TokenShard& shard : shards) {
    const auto size = static_cast<int64_t>(shard.size());
    if (start < starts(shard) && start + 2 <= size) return {&shard, start, before + start};
    start -= starts(shard);
    before += size;
    if (start < 0) break;  // the last token of a shard
  }
  misuse(fmt::format("start_idx = {} leaves no text: {} has {} tokens in {}", request.start_idx,
                     corpus.name(), with_commas(static_cast<int64_t>(corpus.tokens(request.split))),
                     request.split),
         "take a smaller --start_idx, or -1 for anywhere");
}

// What is looked at, and where it comes from.
struct TracedText {
  std::vector<int64_t> tokens;
  std::string source = "given text";
  int64_t sentences = 0;  // that it ends with, unless others are asked for; 0: it has none
};

// A sequence of what is generated.
TracedText generated_text(const TraceJob& request, const Corpus& corpus, const RunConfig& config,
                          int64_t limit) {
  DataOptions options = data_options(config, request.split, /*evaluation=*/true);
  options.rows.T = limit;
  options.rows.ahead = 0;
  options.shift = {};
  const auto size = static_cast<uint64_t>(corpus.numbers()->evaluation_size);
  const auto sequence =
      request.start_idx >= 0
          ? request.start_idx
          : static_cast<int64_t>(
                RandomStream(static_cast<uint64_t>(request.seed), "trace").below(0, size));
  const Drawn drawn = make_data_set({corpus}, options)->next({{"sequence", sequence}});
  return {drawn.batch.tokens,
          fmt::format("{}/{}, sequence {}", corpus.name(), request.split, with_commas(sequence))};
}

TracedText corpus_text(const TraceJob& request, const LoadedModel& loaded, int64_t limit) {
  const RunConfig& config = loaded.state.config;
  const Corpus corpus = open_for(loaded, request.model, config, request.dataset);
  is_training_corpus(corpus, loaded.state, request.dataset);
  if (corpus.is_generated()) return generated_text(request, corpus, config, limit);
  const Place place = find_place(request, corpus, limit);
  const auto size = static_cast<int64_t>(place.shard->size());
  std::vector<int64_t> tokens(static_cast<size_t>(std::min(limit, size - place.offset)));
  place.shard->copy(static_cast<uint64_t>(place.offset), tokens);
  constexpr int64_t kSentences = 2;
  return {
      std::move(tokens),
      fmt::format("{}/{} from token {}", corpus.name(), request.split, with_commas(place.in_split)),
      kSentences};
}

}  // namespace

ExitTable trace_of_run(const TraceJob& request) {
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const auto* model =
      dynamic_cast<const DepthModel*>(&next_token_model(loaded, request.model, "trace"));
  if (model == nullptr)
    fail(fmt::format("{} cannot be traced: its model is no depth walk", request.model.run),
         "trace a run of a preset that `fathom list` shows");
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "traced");
  // The last token is predicted, not seen.
  const ModelConfig& config = loaded.state.config.model;
  const int64_t most = config.backbone.block_size + (config.ahead.predict_ahead ? 0 : 1);
  const int64_t limit = token_limit(request, most);
  TracedText traced;
  std::vector<int64_t>& tokens = traced.tokens;
  if (request.text) {
    const std::vector<uint32_t> ids = encode_typed(tokenizer, *request.text);
    tokens.assign(ids.begin(), ids.end());
  } else {
    traced = corpus_text(request, loaded, limit);
  }
  const int64_t sentences = request.sentences.value_or(traced.sentences);
  tokens.resize(end_of_sentences(tokenizer, tokens, sentences));
  const auto size = static_cast<int64_t>(tokens.size());
  if (size > limit)
    misuse(fmt::format("the text has {} tokens, num_chars = {}", size, limit),
           "give a shorter one, or a larger --num_chars");
  if (size > most)
    say_note(
        fmt::format("the text has {} tokens and the model sees {}: each token behind those is "
                    "computed with the {} before it, as generation does; --num_chars=N ends it",
                    with_commas(size), with_commas(most - 1), with_commas(most - 1)));
  std::optional<int64_t> shift;
  if (config.ahead.predict_ahead) shift = shift_id(text_vocab(loaded.state), 1);
  StageLine progress;
  ExitTable table = trace_long_text(
      *model, tokenizer, tokens, most - 1, request.candidates, shift,
      [&](size_t done) { progress.show("trace", done, static_cast<uint64_t>(size - 1)); });
  progress.clear();
  table.run = request.model.run;
  table.source = traced.source;
  return table;
}

}  // namespace fathom
