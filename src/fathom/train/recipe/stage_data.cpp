#include "fathom/train/recipe/stage_data.h"

#include "fathom/io/files.h"
#include "fathom/train/recipe/data_options.h"

namespace fathom {

std::shared_ptr<const DataSet> training_data(const StageRun& stage) {
  return make_data_set(stage.corpora, data_options(stage.config, "train", /*evaluation=*/false));
}

std::shared_ptr<const DataSet> evaluation_data(const StageRun& stage, const std::string& split) {
  DataOptions options = data_options(stage.config, split, /*evaluation=*/true);
  options.rows.mark_answers = true;
  return make_data_set(stage.corpora, options);
}

std::string fingerprint(const std::vector<Corpus>& corpora) {
  if (corpora.size() == 1) return corpora[0].fingerprint();
  std::string all;
  for (const Corpus& corpus : corpora) all += corpus.fingerprint() + "\n";
  return xxh3_hex(as_bytes(all));
}

}  // namespace fathom
