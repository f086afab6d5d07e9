#include "fathom/train/recipe/stage_data.h"

#include "fathom/data/shard_windows.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

// Evaluation draws its own windows.
constexpr uint64_t kEvalSeedOffset = 0x5eed;

}  // namespace

std::shared_ptr<const DataSet> training_data(const StageRun& stage) {
  const RunConfig& c = stage.config;
  const int64_t B = 1, T = c.model.backbone.block_size;
  const Corpus& corpus = stage.corpora.at(0);
  if (c.data.sampling == Sampling::kSequential)
    return std::make_shared<SequentialShards>(corpus, "train", B, T);
  return std::make_shared<RandomWindows>(corpus, "train", B, T,
                                         static_cast<uint64_t>(c.training.seed));
}

std::shared_ptr<const DataSet> evaluation_data(const StageRun& stage, const std::string& split) {
  const RunConfig& c = stage.config;
  return std::make_shared<RandomWindows>(stage.corpora.at(0), split, 1, c.model.backbone.block_size,
                                         static_cast<uint64_t>(c.training.seed) + kEvalSeedOffset);
}

std::string fingerprint(const std::vector<Corpus>& corpora) {
  if (corpora.size() == 1) return corpora[0].fingerprint();
  std::string all;
  for (const Corpus& corpus : corpora) all += corpus.fingerprint() + "\n";
  return xxh3_hex(as_bytes(all));
}

}  // namespace fathom
