#include "fathom/train/recipe/stage_data.h"

#include <algorithm>

#include "fathom/data/prefetched.h"
#include "fathom/data/shard_windows.h"
#include "fathom/io/files.h"
#include "fathom/train/recipe/data_options.h"

namespace fathom {

std::shared_ptr<const DataSet> training_data(const StageRun& stage) {
  auto data = make_data_set(stage.corpora, data_options(stage.config, "train", false));
  const bool is_work =
      std::any_of(stage.corpora.begin(), stage.corpora.end(),
                  [](const Corpus& corpus) { return corpus.has_rows() || corpus.is_generated(); });
  if (!is_work) return data;
  // The next step's rows become tokens, and what is generated is, while this one is computed.
  const int64_t depth = std::min<int64_t>(stage.config.sequences_per_step(), 256);
  return std::make_shared<Prefetched>(std::move(data), static_cast<size_t>(depth));
}

std::shared_ptr<const DataSet> evaluation_data(const StageRun& stage, const std::string& split) {
  DataOptions options = data_options(stage.config, split, /*evaluation=*/true);
  options.rows.mark_answers = true;
  options.rows.pack = false;
  return make_data_set(stage.corpora, options);
}

int64_t times_given_in(const StageRun& stage, const Progress& in_stage) {
  const DataOptions o = data_options(stage.config, "train", /*evaluation=*/false);
  const bool in_order = o.sequential || o.rows_of_batch > 0;
  if (!in_order || stage.corpora.size() > 1 || stage.corpora[0].has_rows() ||
      stage.corpora[0].is_generated())
    return 1;
  const int64_t B = std::max<int64_t>(o.rows_of_batch, 1);
  int64_t epoch = 0;
  for (const TokenShard& shard : stage.corpora[0].shards("train"))
    epoch += B * sequential_batches(static_cast<int64_t>(shard.size()), B, o.rows.T);
  return times_given(std::max<int64_t>(in_stage.samples - 1, 0), epoch);
}

int64_t evaluation_draws(const StageRun& stage, const std::string& split, int64_t asked) {
  const bool has_rows = std::any_of(stage.corpora.begin(), stage.corpora.end(),
                                    [](const Corpus& corpus) { return corpus.has_rows(); });
  if (!has_rows) return asked;
  const std::optional<int64_t> samples = evaluation_data(stage, split)->samples();
  if (!samples || *samples >= asked) return asked;
  if (stage.corpora.size() > 1) return *samples;
  DataOptions options = data_options(stage.config, split, /*evaluation=*/true);
  return std::min(asked, whole_split(stage.corpora[0], options).draws);
}

std::shared_ptr<const FirstInBatches> whole_split(const Corpus& corpus, const RunConfig& config,
                                                  const std::string& split, int64_t B) {
  DataOptions options = data_options(config, split, /*evaluation=*/true);
  options.rows.mark_answers = true;
  const WholeSplit whole = whole_split(corpus, options);
  return std::make_shared<FirstInBatches>(whole.data, whole.draws, B);
}

std::string fingerprint(const std::vector<Corpus>& corpora) {
  if (corpora.size() == 1) return corpora[0].fingerprint();
  std::string all;
  for (const Corpus& corpus : corpora) all += corpus.fingerprint() + "\n";
  return xxh3_hex(as_bytes(all));
}

}  // namespace fathom
