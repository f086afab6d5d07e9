// The notebook's log lines, letter by letter and read back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "track/notebook_reader.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::NotebookPoint;

NotebookStep notebook_step() {
  NotebookStep s;
  s.step = 949;
  s.train = 4.5125;
  s.all = -456.25;
  s.confidence = -460.75;
  s.target = 4.5;
  s.early_stop = 0.625;
  s.early_stops = {0.25, 0.375, 0.375};
  s.learning_rate = 5.9999e-4;
  s.gradient_norm = 1.0625;
  s.milliseconds = 411.25;
  s.tokens_per_second = 318716.5;
  s.flops = 33.375;
  s.batch_reuse = 2;
  return s;
}

TEST(NotebookLog, ALineIsAsTheNotebookPrintsIt) {
  EXPECT_EQ(notebook_line(notebook_step()),
            "@ 949 train 4.5125 , allloss: -456.2500, confloss: -460.7500, targetloss: 4.5000, "
            "earlystop: 0.625, earlystopdict: [0.25, 0.38, 0.38], lr:5.9999e-04, norm:1.0625, dt: "
            "411.25ms, tok/sec: 318716.50, flops:33.38, batch-reuse:2");
  EXPECT_EQ(notebook_val_line(2000, 4.32104), "@ 2000 val 4.3210");
}

TEST(NotebookLog, ALineReadsBack) {
  const NotebookStep s = notebook_step(), back = testing::read_notebook_step(notebook_line(s));
  EXPECT_EQ(back.step, s.step);
  EXPECT_EQ(back.train, s.train);
  EXPECT_EQ(back.all, s.all);
  EXPECT_EQ(back.confidence, s.confidence);
  EXPECT_EQ(back.target, s.target);
  EXPECT_EQ(back.early_stop, s.early_stop);
  ASSERT_EQ(back.early_stops.size(), 3U);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(back.early_stops[i], s.early_stops[i], 0.00501);
  EXPECT_EQ(back.learning_rate, s.learning_rate);
  EXPECT_EQ(back.gradient_norm, s.gradient_norm);
  EXPECT_EQ(back.milliseconds, s.milliseconds);
  EXPECT_EQ(back.tokens_per_second, s.tokens_per_second);
  EXPECT_NEAR(back.flops, s.flops, 0.00501);
  EXPECT_EQ(back.batch_reuse, s.batch_reuse);
}

TEST(NotebookLog, ThePlotsFindStepStreamAndValue) {
  NotebookPoint point;
  ASSERT_TRUE(testing::read_notebook_point(notebook_line(notebook_step()), point));
  EXPECT_EQ(point.step, 949);
  EXPECT_EQ(point.stream, "train");
  EXPECT_EQ(point.value, 4.5125);
  ASSERT_TRUE(testing::read_notebook_point(notebook_val_line(2000, 4.25), point));
  EXPECT_EQ(point.stream, "val");
  EXPECT_EQ(point.value, 4.25);
  EXPECT_FALSE(testing::read_notebook_point("@ 3 train 4.5, allloss: 1", point))
      << "the comma needs its space";
  EXPECT_FALSE(testing::read_notebook_point("SIZE COMPARISON prev 1 mid 1 next 1", point));
}

TEST(NotebookLog, SizesReadBackToTheLastBit) {
  const NotebookSizes s = {2.5294246673583984, 1 / 3.0, 1.1539545059204102, 216047.5625};
  const std::string line = notebook_size_line(s), info = notebook_info_line(s);
  EXPECT_EQ(info,
            "INFO nextres 2.5294246673583984 attn*mlp 216047.5625 layernormed "
            "1.1539545059204102");
  const NotebookSizes back = testing::read_notebook_sizes(line, info);
  EXPECT_EQ(back.previous, s.previous);
  EXPECT_EQ(back.middle, s.middle);
  EXPECT_EQ(back.next, s.next);
  EXPECT_EQ(back.delta, s.delta);
  const std::string histogram = notebook_histogram_line("attn_hist", -1.5, 2.25, {3, 10, 20, 731});
  EXPECT_EQ(histogram, "attn_hist -1.5<3,10,20,731>2.25");
  EXPECT_THAT(testing::numbers_between(histogram, '<', '>'), ElementsAre(3, 10, 20, 731));
}

// 7-test-3, step 0: one block of 7 M parameters for 12 layers and the token table.
TEST(NotebookLog, FlopsAreTheLogs) {
  const NotebookModel model = {45'721'344, 12, 12, 64, 1024};
  EXPECT_NEAR(notebook_flops(model, 131'072, 1.5584), 33.38, 0.01);
  // The token table, a block, its norm in the middle, and the norm that all doors and the head
  // share.
  EXPECT_EQ(50304LL * 768 + 12LL * 768 * 768 + 9LL * 768 + 2 * 2LL * 768, 45'721'344LL);
}

}  // namespace
}  // namespace fathom
