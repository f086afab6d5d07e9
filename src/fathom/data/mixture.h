// Several data sets as one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/data/data_set.h"

namespace fathom {

enum class MixtureRule {
  kFirstExhausted,  // in turn; an epoch ends with that of the shortest part
  kAllExhausted,    // in turn; an epoch ends with that of the longest, shorter ones begin anew
  kWeighted,        // whose turn it is is drawn, with chances that are given
};

// The parts have turns: 0, 1, ..., 0, ... or as drawn. A turn is a draw of the part, or as many as
// its sample takes. Whoever had several samples in a draw, as packed rows are, sits out as many of
// his next turns: shares are of samples, as epochs are. A later epoch goes on where each part is,
// so that no row of a longer one is left out for good.
//
// Weighted, turn t is of the part in whose share of [0, 1) value t of the stream "data/mixture"
// lies.
//
// Cursor: "turn", "owed.<part>", the turns that a part still sits out, and each part's by its
// number.
class Mixture : public DataSet {
 public:
  // `weights`: with kWeighted one for each part, none negative, of any sum above 0; else none.
  // Throws Error(kUsage) otherwise.
  Mixture(std::vector<std::shared_ptr<const DataSet>> parts, MixtureRule rule,
          const std::vector<double>& weights = {}, uint64_t seed = 0);

  Cursor start() const override;
  Drawn next(const Cursor& cursor) const override;
  // In turn: the parts' number times the shortest or longest one's samples. Weighted: those of all
  // parts together. Unset where one that matters has no end.
  std::optional<int64_t> samples() const override;
  bool is_between_samples(const Cursor& cursor) const override;
  Cursor next_sample(const Cursor& cursor) const override;

  // Whose turn it is.
  size_t part_of(int64_t turn) const;

 private:
  void end_turn(Cursor& cursor) const;

  std::vector<std::shared_ptr<const DataSet>> parts_;
  MixtureRule rule_;
  std::vector<double> shares_;  // up to and with each part
  RandomStream stream_;
};

}  // namespace fathom
