// `fathom trace`
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/cli/trace/request.h"
#include "fathom/data/corpus.h"
#include "fathom/model/device.h"
#include "fathom/study/trace_text.h"
#include "fathom/track/console.h"

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
int64_t token_limit(const TraceRequest& request, int64_t most) {
  return request.num_chars.value_or(request.text ? most : std::min(kDefaultTokens, most));
}

// Where a text begins: in a shard, and counted over all shards of the split.
struct Place {
  const TokenShard* shard;
  int64_t offset, in_split;
};

// `limit`: tokens that a text anywhere has, if its shard does.
Place find_place(const TraceRequest& request, const Corpus& corpus, int64_t limit) {
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

// Tokens of the corpus, and where they come from.
std::vector<int64_t> corpus_tokens(const TraceRequest& request, const LoadedModel& loaded,
                                   int64_t limit, std::string& source) {
  Corpus corpus =
      Corpus::open(request.dataset.empty() ? loaded.state.config.data.dataset : request.dataset);
  require_same_tokens(corpus, loaded);
  if (corpus.vocab_size() == 0) corpus.assume_vocab_size(text_vocab(loaded.state));
  is_training_corpus(corpus, loaded.state, request.dataset);
  const Place place = find_place(request, corpus, limit);
  const auto size = static_cast<int64_t>(place.shard->size());
  std::vector<int64_t> tokens(static_cast<size_t>(std::min(limit, size - place.offset)));
  place.shard->copy(static_cast<uint64_t>(place.offset), tokens);
  source =
      fmt::format("{}/{} from token {}", corpus.name(), request.split, with_commas(place.in_split));
  return tokens;
}

int trace(const TraceRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const auto* model =
      dynamic_cast<const DepthModel*>(&next_token_model(loaded, request.model, "trace"));
  if (model == nullptr || loaded.tokenizer == nullptr)
    fail(fmt::format("{} cannot be traced: {}", request.model.run,
                     model == nullptr ? "its model is no depth walk" : "its tokens have no text"),
         "trace a run of a preset that `fathom list` shows, on a corpus prepared from text");
  // The last token is predicted, not seen.
  const ModelConfig& config = loaded.state.config.model;
  const int64_t most = config.backbone.block_size + (config.ahead.predict_ahead ? 0 : 1);
  const int64_t limit = token_limit(request, most);
  std::vector<int64_t> tokens;
  std::string source = "given text";
  if (request.text) {
    const std::vector<uint32_t> ids = encode_with_specials(*loaded.tokenizer, *request.text);
    tokens.assign(ids.begin(), ids.end());
  } else {
    tokens = corpus_tokens(request, loaded, limit, source);
  }
  const int64_t sentences = request.sentences.value_or(request.text ? 0 : 2);
  tokens.resize(end_of_sentences(*loaded.tokenizer, tokens, sentences));
  const auto size = static_cast<int64_t>(tokens.size());
  if (size > std::min(limit, most))
    misuse(fmt::format("the text has {} tokens, at most {} are shown at once", size,
                       std::min(limit, most)),
           size > most
               ? fmt::format("take --num_chars={} or less, or end it earlier by --sentences", most)
               : "give a shorter one, or a larger --num_chars");
  std::optional<int64_t> shift;
  if (config.ahead.predict_ahead) shift = shift_id(text_vocab(loaded.state), 1);
  ExitTable table = trace_text(*model, *loaded.tokenizer, tokens, request.candidates, shift);
  table.run = request.model.run;
  table.source = source;
  give(exit_report(table), request.output, fmt::format("{} rows", table.rows.size()));
  return 0;
}

}  // namespace

int run_trace_in_engine(const Arguments& arguments) {
  const auto request = parse_trace(arguments);
  return request ? trace(*request) : 0;
}

}  // namespace fathom
