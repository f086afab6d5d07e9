// Signs of life of work whose product goes to standard output.
#include "fathom/track/stage_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Written {
  StageLineOptions options(bool live) {
    StageLineOptions options;
    options.live = live;
    options.write = [this](std::string_view text) { pieces.emplace_back(text); };
    options.clock = [this] { return time; };
    return options;
  }
  std::vector<std::string> pieces;
  double time = 0;
};

TEST(StageLine, IsWrittenOverWhereItChanges) {
  Written console;
  {
    StageLine line(console.options(true));
    line.show("read", 1, 200);
    line.show("read", 1, 201);
    line.show("read", 100, 200);
    line.clear();
    line.clear();
    line.show("merge", 3 << 20, 0);
  }
  EXPECT_THAT(console.pieces, ElementsAre("\r\033[Kread 0 %", "\r\033[Kread 50 %", "\r\033[K",
                                          "\r\033[Kmerge 3.0 MiB", "\r\033[K"));
}

// A line that wrapped would stay on the screen.
TEST(StageLine, IsNoWiderThanItsTerminal) {
  Written console;
  StageLineOptions options = console.options(true);
  options.width = [] { return 12; };
  StageLine line(options);
  line.show("read a long name", 1, 2);
  line.show("read", 1, 2);
  EXPECT_THAT(console.pieces, ElementsAre("\r\033[Kread a lon…", "\r\033[Kread 50 %"));
}

TEST(StageLine, InALogIsALineAMinute) {
  Written log;
  StageLine line(log.options(false));
  for (uint64_t i = 1; i <= 100; ++i) {
    log.time += 1.3;
    line.show("evaluate", i, 100);
  }
  line.clear();
  EXPECT_THAT(log.pieces, ElementsAre("evaluate 47 %\n", "evaluate 94 %\n"));
  log.pieces.clear();
  StageLine quick(log.options(false));
  quick.show("evaluate", 100, 100);
  EXPECT_THAT(log.pieces, IsEmpty());
}

}  // namespace
}  // namespace fathom
