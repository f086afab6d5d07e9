// Rows of generated examples, for their tests.
#pragma once

#include <memory>
#include <string>

#include "data/rows_testing.h"
#include "fathom/data/numbers/numbers_data.h"

namespace fathom::testing {

class NumbersDataTest : public DataTest {
 protected:
  NumbersConfig config_;
  NumbersRows rows_;
  std::shared_ptr<const Tokenizer> tokenizer_ = numbers_tokenizer("char");
  NumbersDataTest() {
    config_.english_rate = 0;
    rows_.T = 64;
  }

  NumbersData data() const { return {config_, "train", rows_, tokenizer_}; }
  NumberExample example(uint64_t sequence, uint64_t number = 0) const {
    return number_example(config_, "train", sequence, number);
  }
  TokenBatch row(int64_t sequence) const { return data().next({{"sequence", sequence}}).batch; }
  std::string text_of(const WholeNumbers& tokens) const {
    const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
    return tokenizer_->decode({ids.data(), ids.size()});
  }
  // "..1.": of whole numbers.
  static std::string marks(const WholeNumbers& values) {
    std::string text;
    for (const int64_t value : values) text += value == 0 ? '.' : static_cast<char>('0' + value);
    return text;
  }
  static const RealNumbers& real_column(const TokenBatch& batch, const char* name) {
    return std::get<RealNumbers>(batch.find(name)->values);
  }
};

}  // namespace fathom::testing
