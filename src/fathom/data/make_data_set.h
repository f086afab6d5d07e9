// The data set that a configuration asks for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/corpus.h"
#include "fathom/data/mixture.h"
#include "fathom/data/prompt_rows.h"
#include "fathom/data/shifted.h"

namespace fathom {

// What an evaluation's windows are drawn by, beside the run's seed: it sees its own ones, the same
// every time.
inline constexpr uint64_t kEvaluationSeedOffset = 0x5eed;

struct DataOptions {
  std::string split = "train";
  // Of an evaluation: token shards as random windows of its own seed, rows in their order.
  bool evaluation = false;
  uint64_t seed = 0;        // of the run
  bool sequential = false;  // token shards in order, row by row
  // Above 0: token shards in order as one reads them who takes so many rows at a time and drops
  // what is no whole batch at a shard's end (SequentialShards), and evaluations as well, each from
  // the split's beginning.
  int64_t rows_of_batch = 0;
  RowOptions rows;  // T and ahead are token shards' too; its seed is taken from above
  MixtureRule mixture = MixtureRule::kFirstExhausted;  // of several corpora
  std::vector<double> mixture_weights;                 // with kWeighted
  // With a max_shift rows begin with a shift token: rows.T is then the tokens behind it, rows.ahead
  // is of max_shift - 1, and a text_vocab of 0 is the corpora's.
  ShiftOptions shift;
};

// One sequence a draw (batch.B = 1). Throws Error where the split is missing, for corpora whose
// tokenizers differ, and as the data sets themselves do.
std::shared_ptr<const DataSet> make_data_set(const std::vector<Corpus>& corpora,
                                             const DataOptions& options);

// Every target of a split once, for evaluation: so many draws of one sequence each, rows in their
// order and unpacked. Of rows, all are read to know how many; of what is generated and has no end,
// as many as its evaluation_size.
struct WholeSplit {
  std::shared_ptr<const DataSet> data;
  int64_t draws = 0;
};
WholeSplit whole_split(const Corpus& corpus, const DataOptions& options);

// "an epoch learns 1,203 targets of the 1,500 tokens of x's first 1,000 rows; ...", "an epoch of x
// is 12,207 batches of ..." where shards are read batch by batch, "block_size = 64 cuts 3.1 % ..."
// of what is generated; empty for other token shards, and where every token is learned once. Throws
// Error(kUsage) where more than max_cut_share of the generated examples are cut, with the block
// that would do.
std::string coverage_notice(const Corpus& corpus, const DataOptions& options);
// Of what is generated: which share of the split's first `most` examples a row cuts.
double cut_share(const Corpus& corpus, const DataOptions& options, int64_t most);

}  // namespace fathom
