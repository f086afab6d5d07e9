#include "fathom/data/token_batch.h"

#include <gmock/gmock.h>

#include "errors.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const WholeNumbers& whole(const TokenBatch& batch, const std::string& name) {
  return std::get<WholeNumbers>(batch.find(name)->values);
}

TEST(Append, EveryColumnGoesAlong) {
  const TokenBatch plain = {1, 3, {1, 2, 3}, {2, 3, 4}, {}};
  const TokenBatch filled = {2,
                             3,
                             {5, 6, 0, 7, 0, 0},
                             {6, -1, -1, -1, -1, -1},
                             {{"valid", WholeNumbers{1, 1, 0, 1, 0, 0}},
                              {"position", WholeNumbers{0, 1, 2, 4, 5, 6}},
                              {"weight", RealNumbers{0.5, 2, 0, 1, 0, 0}}}};
  TokenBatch all;
  append(all, plain);
  EXPECT_TRUE(all.columns.empty()) << "all of them are valid";
  append(all, filled);
  append(all, plain);
  EXPECT_EQ(all.B, 4);
  EXPECT_EQ(all.T, 3);
  EXPECT_THAT(all.tokens, ElementsAre(1, 2, 3, 5, 6, 0, 7, 0, 0, 1, 2, 3));
  EXPECT_THAT(all.targets, ElementsAre(2, 3, 4, 6, -1, -1, -1, -1, -1, 2, 3, 4));
  EXPECT_THAT(whole(all, "valid"), ElementsAre(1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1));
  EXPECT_THAT(whole(all, "position"), ElementsAre(0, 1, 2, 0, 1, 2, 4, 5, 6, 0, 1, 2));
  EXPECT_THAT(std::get<RealNumbers>(all.find("weight")->values),
              ElementsAre(1, 1, 1, 0.5, 2, 0, 1, 0, 0, 1, 1, 1));
  TokenBatch first;
  append(first, filled);
  EXPECT_EQ(first.columns, filled.columns);
}

TEST(Append, ShorterRowsArePadded) {
  TokenBatch all = {1,
                    2,
                    {5, 6},
                    {6, 7},
                    {{"segment", WholeNumbers{0, 3}},
                     {"position", WholeNumbers{4, 5}},
                     {"answer", RealNumbers{0.25}, /*per_sequence=*/1}}};
  append(all, {1, 4, {1, 2, 3, 4}, {2, 3, 4, 5}, {}});
  append(all, {1, 1, {9}, {-1}, {}});
  EXPECT_EQ(all.B, 3);
  EXPECT_EQ(all.T, 4);
  EXPECT_THAT(all.tokens, ElementsAre(5, 6, 0, 0, 1, 2, 3, 4, 9, 0, 0, 0));
  EXPECT_THAT(all.targets, ElementsAre(6, 7, -1, -1, 2, 3, 4, 5, -1, -1, -1, -1));
  EXPECT_THAT(whole(all, "valid"), ElementsAre(1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0));
  EXPECT_THAT(whole(all, "segment"), ElementsAre(0, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(whole(all, "position"), ElementsAre(4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(std::get<RealNumbers>(all.find("answer")->values), ElementsAre(0.25, 0, 0));
}

TEST(Append, OneNameIsOneShape) {
  TokenBatch all = {1, 2, {5, 6}, {6, 7}, {{"answer", RealNumbers{1, 2}, /*per_sequence=*/2}}};
  for (const Column& other :
       {Column{"answer", RealNumbers{1}, 1}, Column{"answer", RealNumbers{1, 2}, 0},
        Column{"answer", WholeNumbers{1, 2}, 2}})
    EXPECT_THAT(caught([&] {
                  append(all, {1, 2, {5, 6}, {6, 7}, {other}});
                }).what(),
                HasSubstr("columns answer of different shapes"));
}

TEST(Pad, ToTheSameLengthChangesNothing) {
  TokenBatch batch = {1, 2, {5, 6}, {6, 7}, {}};
  pad(batch, 2);
  EXPECT_TRUE(batch.columns.empty());
  EXPECT_EQ(batch.T, 2);
}

}  // namespace
}  // namespace fathom
