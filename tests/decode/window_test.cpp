// What of a long text is seen.
#include <gtest/gtest.h>

#include <vector>

#include "errors.h"
#include "fathom/decode/window.h"

namespace fathom::testing {
namespace {

std::vector<int64_t> starts(const Window& window, int64_t longest) {
  std::vector<int64_t> all;
  for (int64_t length = 1; length <= longest; ++length) all.push_back(window.start(length));
  return all;
}

TEST(Window, SlidesByATokenOrByHalf) {
  EXPECT_EQ(starts({0, 4, Overflow::kRecompute}, 8),
            (std::vector<int64_t>{0, 0, 0, 0, 1, 2, 3, 4}));
  EXPECT_EQ(starts({0, 4, Overflow::kHalf}, 9), (std::vector<int64_t>{0, 0, 0, 0, 2, 2, 4, 4, 6}));
  EXPECT_EQ(starts({0, 4, Overflow::kStop}, 4), (std::vector<int64_t>{0, 0, 0, 0}));
}

TEST(Window, PinnedTokensStay) {
  EXPECT_EQ(starts({1, 4, Overflow::kRecompute}, 7), (std::vector<int64_t>{1, 1, 1, 1, 2, 3, 4}));
  EXPECT_EQ(starts({2, 6, Overflow::kHalf}, 10),
            (std::vector<int64_t>{2, 2, 2, 2, 2, 2, 4, 4, 6, 6}));
}

// Never more than the window, never less than half of it, always the newest, always forward.
TEST(Window, HoldsWhatItPromises) {
  for (int64_t capacity = 1; capacity < 12; ++capacity)
    for (int64_t pinned = 0; pinned < capacity; ++pinned)
      for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf}) {
        const Window window = {pinned, capacity, overflow};
        int64_t before = 0;
        for (int64_t length = 1; length < 60; ++length) {
          const int64_t start = window.start(length), room = capacity - pinned;
          EXPECT_GE(start, before);
          before = start;
          const int64_t seen = length - start;
          EXPECT_LE(seen, room);
          if (length <= capacity) {
            EXPECT_EQ(start, pinned);
          } else {
            EXPECT_GE(seen, overflow == Overflow::kRecompute ? room : room - room / 2);
          }
        }
      }
}

// As many tokens as may follow without another start, and without an end of the text.
TEST(Window, HasRoomUntilItMoves) {
  for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf, Overflow::kStop})
    for (int64_t capacity = 1; capacity < 10; ++capacity)
      for (int64_t pinned = 0; pinned < capacity; ++pinned)
        for (int64_t length = 1; length <= (overflow == Overflow::kStop ? capacity : 40);
             ++length) {
          const Window window = {pinned, capacity, overflow};
          int64_t room = 0;
          while (window.start(length + room + 1) == window.start(length)) ++room;
          EXPECT_EQ(window.room(length), room)
              << "of " << length << " in " << capacity << ", " << pinned << " pinned";
        }
  EXPECT_EQ((Window{0, 4, Overflow::kStop}.room(5)), 0) << "a full one";
}

TEST(Window, MustFitTheModel) {
  EXPECT_NO_THROW(validate({3, 8, Overflow::kHalf}, 8));
  for (const Window& bad : {Window{0, 9, {}}, {0, 0, {}}, {8, 8, {}}, {-1, 8, {}}})
    EXPECT_EQ(caught([&] { validate(bad, 8); }).kind(), ErrorKind::kUsage);
}

}  // namespace
}  // namespace fathom::testing
