// Tensors that are handed out again, and only those that nobody has.
#include "fathom/ops/tensor_pool.h"

#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <set>

namespace fathom {
namespace {

class TensorPoolTest : public ::testing::Test {
 protected:
  TensorPool pool_;
  const c10::InferenceMode no_graph_;
};

TEST_F(TensorPoolTest, TheSameRequestsGetTheSameMemory) {
  std::vector<void*> first;
  for (int step = 0; step < 3; ++step) {
    const TensorPool::Use use(pool_);
    std::vector<void*> now;
    for (const auto& [size, type] : {std::pair{4, at::kFloat}, {4, at::kFloat}, {3, at::kLong}}) {
      const Tensor t = new_tensor({1, size}, type);
      EXPECT_EQ(t.sizes(), at::IntArrayRef({1, size}));
      EXPECT_EQ(t.scalar_type(), type);
      now.push_back(t.data_ptr());
    }
    EXPECT_NE(now[0], now[1]) << "one step's are different ones";
    if (step == 0) first = now;
    EXPECT_EQ(now, first);
  }
  EXPECT_EQ(pool_.count(), 3U);
}

TEST_F(TensorPoolTest, WhatSomebodyHasIsTheirs) {
  Tensor kept, view;
  for (int step = 0; step < 3; ++step) {
    const TensorPool::Use use(pool_);
    const Tensor a = new_tensor({4}), b = new_tensor({2, 2});
    a.fill_(step);
    b.fill_(step);
    if (step != 0) continue;
    kept = a;
    view = b[1];
  }
  EXPECT_EQ(kept.max().item<float>(), 0);
  EXPECT_EQ(view.max().item<float>(), 0);
}

TEST_F(TensorPoolTest, FollowsWhatIsAskedFor) {
  for (const int64_t size : {4, 4, 5, 5}) {
    const TensorPool::Use use(pool_);
    EXPECT_EQ(new_tensor({size}).numel(), size);
    EXPECT_EQ(new_tensor({size}, at::kLong).scalar_type(), at::kLong);
    new_tensor({size, 1});
  }
  EXPECT_EQ(pool_.count(), 3U);
  for (size_t i = 0; i < 2 * TensorPool::kMostIdle; ++i) {
    const TensorPool::Use use(pool_);
    new_tensor({5});
    new_tensor({int64_t{TensorPool::kMostBytes}});  // floats: too many
  }
  EXPECT_EQ(pool_.count(), 1U) << "no longer asked for";
}

// As where a row leaves a loop in one step and not in the next.
TEST_F(TensorPoolTest, AnotherOrderGetsTheSameMemory) {
  std::set<void*> all;
  for (int step = 0; step < 6; ++step) {
    const TensorPool::Use use(pool_);
    for (int i = 0; i < 9; ++i) {
      if (step % 2 == 1 && i == 2) continue;
      all.insert(new_tensor({i % 3 + 1}).data_ptr());
    }
  }
  EXPECT_EQ(all.size(), 9U);
}

TEST_F(TensorPoolTest, KeepsSoMuchAndNoMore) {
  const int64_t half = TensorPool::kMostBytes / sizeof(float) / 2;
  for (int step = 0; step < 3; ++step) {
    const TensorPool::Use use(pool_);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(new_tensor({half}).numel(), half);
    EXPECT_EQ(pool_.count(), 2U);
  }
  {
    const TensorPool::Use use(pool_);  // smaller ones in their place
    for (int i = 0; i < 4; ++i) new_tensor({half / 2});
  }
  EXPECT_EQ(pool_.count(), 4U);
}

TEST_F(TensorPoolTest, ServesItsScopeAlone) {
  new_tensor({4});
  {
    const TensorPool::Use use(pool_);
    {
      TensorPool inner;
      const TensorPool::Use use_of_inner(inner);
      new_tensor({4});
    }
    const c10::InferenceMode graph(false);  // these could be in one
    EXPECT_FALSE(new_tensor({4}).is_inference());
  }
  EXPECT_EQ(pool_.count(), 0U);
}

}  // namespace
}  // namespace fathom
