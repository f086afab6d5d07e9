#include "fathom/data/in_batches.h"

#include "data/data_testing.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;

class InBatchesTest : public testing::DataTest {
 protected:
  Corpus corpus() {
    const std::string folder = temp_ / "data/toy";
    std::filesystem::create_directories(folder);
    std::vector<uint32_t> tokens(100);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<uint32_t>(i);
    testing::write_shard(folder + "/toy_train_0.bin", tokens);
    testing::write_shard(folder + "/toy_val_0.bin", tokens);
    return Corpus::open("toy");
  }
};

TEST_F(InBatchesTest, SequencesOneByOneAreTheBatch) {
  const Corpus toy = corpus();
  const auto single = std::make_shared<RandomWindows>(toy, "train", 1, 8, 3);
  const RandomWindows four(toy, "train", 4, 8, 3);
  const InBatches joined(single, 4);
  Cursor a = joined.start(), b = four.start();
  for (int i = 0; i < 5; ++i) {
    const Drawn x = joined.next(a), y = four.next(b);
    EXPECT_EQ(x.batch.tokens, y.batch.tokens);
    EXPECT_EQ(x.batch.targets, y.batch.targets);
    EXPECT_EQ(x.samples, 4);
    a = x.after;
    b = y.after;
  }
  EXPECT_EQ(joined.samples(), single->samples());
}

TEST_F(InBatchesTest, TheLastOfTheFirstMayHaveFewer) {
  const auto single = std::make_shared<EveryWindow>(corpus(), "val", 1, 10);
  const FirstInBatches first(single, single->batches(), 4);
  EXPECT_EQ(first.batches(), 3);
  WholeNumbers tokens, sizes;
  Cursor cursor = first.start();
  for (int64_t i = 0; i < first.batches(); ++i) {
    const Drawn drawn = first.next(cursor);
    cursor = drawn.after;
    sizes.push_back(drawn.batch.B);
    tokens.insert(tokens.end(), drawn.batch.tokens.begin(), drawn.batch.tokens.end());
  }
  EXPECT_EQ(sizes, (WholeNumbers{4, 4, 2}));
  for (int64_t i = 0; i < 99; ++i) EXPECT_EQ(tokens[size_t(i)], i);
  EXPECT_THAT(caught([&] { first.next(cursor); }).what(), HasSubstr("behind the end"));
}

}  // namespace
}  // namespace fathom
