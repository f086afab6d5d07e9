// Programs of a stream's lines (stream_labels), against what the examples say of themselves.
#include <algorithm>

#include "data/numbers/numbers_data_testing.h"

namespace fathom {
namespace {

using testing::column;
using testing::NumbersDataTest;

class StreamLabels : public NumbersDataTest {
 protected:
  StreamLabels() {
    config_.stream_share = 1;
    config_.stream_labels = true;
  }
};

// Of each token that has a program: which example's it is, by the text itself.
TEST_F(StreamLabels, AStreamsLinesHaveTheirPrograms) {
  config_.depth = 2;
  for (const int64_t T : {100, 101, 102, 103, 104, 105, 106}) {
    rows_.T = T;
    const TokenBatch batch = row(4);
    const WholeNumbers& supervised = column(batch, kSupervised);
    const int64_t P = batch.find(kProgramValue)->per_sequence;
    EXPECT_EQ(batch.find(kProgramSign)->per_sequence, 3 * P);
    EXPECT_EQ(batch.find(kProgramOp)->per_sequence, 2 * P);
    WholeNumbers expected;
    int64_t number = 0;
    for (; static_cast<int64_t>(expected.size()) < T; ++number) {
      const NumberExample one = example(4, static_cast<uint64_t>(number));
      expected.insert(expected.end(), one.last_operand_end, 0);
      expected.insert(expected.end(), one.text.size() + 1 - one.last_operand_end, number + 2);
    }
    expected.resize(size_t(T));
    EXPECT_EQ(supervised, expected);
    const int64_t last = *std::max_element(supervised.begin(), supervised.end()) - 1;
    ASSERT_GT(last, 2);
    for (int64_t p = 0; p < P; ++p) {
      const bool is_there = p >= 1 && p <= last;
      const NumberExample one = example(4, static_cast<uint64_t>(std::max<int64_t>(p - 1, 0)));
      EXPECT_EQ(real_column(batch, kProgramValue)[size_t(p)], is_there ? one.value : 0) << p;
      EXPECT_EQ(column(batch, kProgramReal)[size_t(p)],
                is_there ? real_operations(one.program) : 0);
      for (int64_t v = 0; v < 3; ++v) {
        const double value = one.program.values[size_t(v)].value();
        EXPECT_EQ(real_column(batch, kProgramSign)[size_t(3 * p + v)], !is_there   ? 0
                                                                       : value < 0 ? -1
                                                                                   : 1);
        EXPECT_EQ(column(batch, kProgramUsed)[size_t(3 * p + v)], is_there && one.used[size_t(v)]);
      }
      for (int64_t d = 0; d < 2 && is_there; ++d)
        EXPECT_EQ(column(batch, kProgramOp)[size_t(2 * p + d)],
                  static_cast<int64_t>(one.program.operations[size_t(d)]));
    }
  }
}

// As many as a stream can have: numbers of one digit, and nothing between them but line breaks.
TEST_F(StreamLabels, AStreamHasRoomForAllOfItsPrograms) {
  config_.depth = 1;
  config_.min_operations = config_.max_operations = 0;
  config_.value_range = {1, 9};
  config_.max_decimals = config_.result_digits = 0;
  for (const int64_t T : {1, 2, 3, 16, 17}) {
    rows_.T = T;
    const WholeNumbers supervised = column(row(0), kSupervised);
    for (int64_t t = 0; t < T; ++t) EXPECT_EQ(supervised[size_t(t)], t % 2 == 0 ? 0 : t / 2 + 2);
    EXPECT_GE(row(0).find(kProgramValue)->per_sequence, 1 + T / 2);
  }
}

// Of a batch that has both, columns are alike, and who is asked as a whole is the example.
TEST_F(StreamLabels, ExamplesBesideStreamsWithLabelsHaveOneProgram) {
  config_.stream_share = 0.5;
  TokenBatch all = empty_batch(0, 0);
  int64_t streams = 0;
  for (int64_t i = 0; i < 20; ++i) {
    const TokenBatch one = row(i);
    append(all, one);
    const bool is_stream = NumberExamples(config_).is_stream("train", static_cast<uint64_t>(i));
    streams += is_stream;
    EXPECT_EQ(real_column(one, kProgramSign)[0] == 0, is_stream);
    const WholeNumbers& supervised = column(one, kSupervised);
    const int64_t most = *std::max_element(supervised.begin(), supervised.end());
    EXPECT_EQ(most == 1, !is_stream);
  }
  EXPECT_GT(streams, 0);
  EXPECT_LT(streams, 20);
  EXPECT_EQ(all.B, 20);
}

TEST_F(StreamLabels, ShuffledLabelsOfAStreamAreAnotherStreams) {
  const TokenBatch plain = row(3), other = row(4);
  config_.shuffle_labels = true;
  const TokenBatch shuffled = row(3);
  EXPECT_EQ(shuffled.tokens, plain.tokens);
  EXPECT_EQ(column(shuffled, kSupervised), column(plain, kSupervised));
  EXPECT_NE(real_column(shuffled, kProgramLog), real_column(plain, kProgramLog));
  EXPECT_EQ(real_column(shuffled, kProgramValue)[1], real_column(other, kProgramValue)[1]);
  EXPECT_EQ(real_column(shuffled, kProgramLog)[6], real_column(other, kProgramLog)[6]);
}

}  // namespace
}  // namespace fathom
