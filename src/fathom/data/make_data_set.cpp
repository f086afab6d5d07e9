#include "fathom/data/make_data_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

void require_same_tokenizer(const Corpus& a, const Corpus& b) {
  const bool known = a.tokenizer() != nullptr && b.tokenizer() != nullptr;
  if (known ? a.tokenizer()->to_json() == b.tokenizer()->to_json()
            : a.vocab_size() == b.vocab_size())
    return;
  fail(fmt::format("the corpora {} and {} do not have the same tokens", a.name(), b.name()),
       "prepare them with one tokenizer whose tokens are given, --tokenizer gpt2 or byte");
}

RowOptions row_options(const DataOptions& o) {
  RowOptions rows = o.rows;
  rows.seed = o.seed;
  rows.shuffle = o.rows.shuffle && !o.evaluation;
  return rows;
}

std::shared_ptr<const NumbersData> numbers_data(const Corpus& corpus, const DataOptions& o) {
  NumbersRows rows;
  rows.T = o.rows.T;
  rows.ahead = o.rows.ahead;
  corpus.require_split(o.split);
  const auto owner = std::make_shared<const Corpus>(corpus);
  return std::make_shared<NumbersData>(*corpus.numbers(), o.split, rows,
                                       std::shared_ptr<const Tokenizer>(owner, owner->tokenizer()));
}

std::shared_ptr<const DataSet> one_data_set(const Corpus& corpus, const DataOptions& o) {
  const int64_t T = o.rows.T, ahead = o.rows.ahead;
  if (corpus.is_generated()) return numbers_data(corpus, o);
  if (corpus.has_rows()) return std::make_shared<PromptRows>(corpus, o.split, row_options(o));
  if (o.rows_of_batch > 0)
    return std::make_shared<SequentialShards>(corpus, o.split, o.rows_of_batch, T, 0, 1, ahead,
                                              SequentialShards::Draws::kRows);
  const int64_t behind = o.shift.odds.max_shift;
  if (o.evaluation)
    return std::make_shared<RandomWindows>(corpus, o.split, 1, T, o.seed + kEvaluationSeedOffset, 0,
                                           1, ahead, behind);
  if (o.sequential) return std::make_shared<SequentialShards>(corpus, o.split, 1, T, 0, 1, ahead);
  return std::make_shared<RandomWindows>(corpus, o.split, 1, T, o.seed, 0, 1, ahead, behind);
}

std::shared_ptr<const DataSet> of_corpora(const std::vector<Corpus>& corpora,
                                          const DataOptions& options) {
  if (corpora.size() == 1) return one_data_set(corpora[0], options);
  std::vector<std::shared_ptr<const DataSet>> parts;
  for (const Corpus& corpus : corpora) {
    require_same_tokenizer(corpora[0], corpus);
    parts.push_back(one_data_set(corpus, options));
  }
  const uint64_t seed = options.seed + (options.evaluation ? kEvaluationSeedOffset : 0);
  return std::make_shared<Mixture>(std::move(parts), options.mixture, options.mixture_weights,
                                   seed);
}

// Rows with a shift token, if the options have shifts.
std::shared_ptr<const DataSet> with_shifts(std::shared_ptr<const DataSet> data,
                                           const std::vector<Corpus>& corpora,
                                           const DataOptions& options) {
  ShiftOptions shift = options.shift;
  if (shift.odds.max_shift == 0) return data;
  if (shift.text_vocab == 0)
    for (const Corpus& corpus : corpora)
      shift.text_vocab = std::max(shift.text_vocab, corpus.vocab_size());
  return std::make_shared<Shifted>(std::move(data), shift, options.seed);
}

}  // namespace

std::shared_ptr<const DataSet> make_data_set(const std::vector<Corpus>& corpora,
                                             const DataOptions& options) {
  if (corpora.empty()) misuse("no corpus was given to draw from", "--dataset=NAME");
  return with_shifts(of_corpora(corpora, options), corpora, options);
}

WholeSplit whole_split(const Corpus& corpus, const DataOptions& options) {
  if (corpus.is_generated())
    return {with_shifts(numbers_data(corpus, options), {corpus}, options),
            corpus.numbers()->evaluation_size};
  if (!corpus.has_rows()) {
    const auto windows =
        std::make_shared<EveryWindow>(corpus, options.split, 1, options.rows.T, options.rows.ahead);
    return {with_shifts(windows, {corpus}, options), windows->batches()};
  }
  RowOptions rows = row_options(options);
  rows.shuffle = rows.pack = false;
  const auto data = std::make_shared<PromptRows>(corpus, options.split, rows);
  return {with_shifts(data, {corpus}, options), data->coverage(*data->samples()).parts};
}

namespace {

// Of shards that are read batch by batch.
std::string epoch_notice(const Corpus& corpus, const DataOptions& o) {
  if (o.rows_of_batch == 0) return "";
  int64_t batches = 0;
  for (const TokenShard& shard : corpus.shards(o.split))
    batches += sequential_batches(static_cast<int64_t>(shard.size()), o.rows_of_batch, o.rows.T);
  return fmt::format("an epoch of {} is {} of {} x {} tokens, of its {}", corpus.name(),
                     counted(batches, "batch", "batches"), with_commas(o.rows_of_batch),
                     with_commas(o.rows.T),
                     with_commas(static_cast<int64_t>(corpus.tokens(o.split))));
}

// Of examples that are longer than a row.
std::string cut_notice(const Corpus& corpus, const DataOptions& o, int64_t most) {
  const NumbersData::Lengths lengths = numbers_data(corpus, o)->lengths(most);
  if (lengths.cut == 0) return "";
  // A shift token is one of the block's.
  const int64_t shift = o.shift.odds.max_shift > 0;
  const std::string cuts = fmt::format(
      "block_size = {} cuts {:.1f} % of {}'s first {} sequences, from which no program is "
      "learned then",
      o.rows.T + shift, 100 * lengths.cut, corpus.name(), with_commas(most));
  if (const double most_cut = corpus.numbers()->max_cut_share; lengths.cut > most_cut)
    misuse(cuts + fmt::format(" (max_cut_share = {:g})", most_cut),
           fmt::format("--block_size={} holds all of them; with --stream_share=1 none is cut",
                       lengths.longest + shift));
  return cuts;
}

}  // namespace

double cut_share(const Corpus& corpus, const DataOptions& options, int64_t most) {
  return numbers_data(corpus, options)->lengths(most).cut;
}

std::string coverage_notice(const Corpus& corpus, const DataOptions& options) {
  constexpr int64_t kMostRows = 1000;  // of which more would take seconds
  if (corpus.is_generated()) return cut_notice(corpus, options, kMostRows);
  if (!corpus.has_rows()) return epoch_notice(corpus, options);
  const auto seen = PromptRows(corpus, options.split, row_options(options)).coverage(kMostRows);
  if (seen.targets == seen.tokens && seen.skipped == 0) return "";
  std::string notice = fmt::format(
      "an epoch learns {} targets of the {} tokens of {}'s first {} "
      "rows",
      with_commas(seen.targets), with_commas(seen.tokens), corpus.name(), with_commas(seen.rows));
  if (seen.skipped > 0)
    notice += fmt::format("; {} of them have no answer within the window and are passed over",
                          with_commas(seen.skipped));
  return notice;
}

}  // namespace fathom
