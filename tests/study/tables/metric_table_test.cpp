// Metrics beside their baselines, and over parts of what is evaluated.
#include "fathom/study/tables/metric_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/report/render.h"

namespace fathom {
namespace {

const std::map<std::string, double>& some_metrics() {
  static const std::map<std::string, double> metrics = {
      {"op_accuracy", 0.75},          {"op_accuracy_baseline", 0.25}, {"execution_0.01", 0.5},
      {"execution_0.01_baseline", 0}, {"op_accuracy.ops1", 0.875},    {"op_accuracy.words", 0.5},
      {"execution_0.01.ops1", 0.625}, {"execution_0.01.words", 0.25}, {"op_accuracy.add", 1},
      {"op_target.add", 0.25},        {"layer_loss/3.1", 2},          {"accuracy", 0.5}};
  return metrics;
}

TEST(MetricTable, HasWhatIsNoDetail) {
  report::Report report;
  report.add(measured_table(some_metrics(), {}));
  EXPECT_EQ(report::render_terminal(report),
            "  metric          value  baseline\n"
            "  accuracy          0.5         -\n"
            "  execution_0.01    0.5         0\n"
            "  op_accuracy      0.75      0.25\n");
  report::Report plain;
  plain.add(
      measured_table({{"accuracy", 0.5}, {"result_loss", 2}, {"x_baseline", 1}}, {"accuracy"}));
  EXPECT_EQ(report::render_terminal(plain),
            "  metric       value\n"
            "  result_loss      2\n");
  EXPECT_TRUE(measured_table({{"loss", 1}, {"layer_loss/3.1", 1}}, {"loss"}).rows.empty());
}

TEST(MetricTable, PartsOfTheSameMetricsAreOneTable) {
  report::Report report;
  add_parts_of_metrics(some_metrics(), report);
  EXPECT_EQ(report::render_terminal(report),
            "  metric           ops1  words\n"
            "  execution_0.01  0.625   0.25\n"
            "  op_accuracy     0.875    0.5\n"
            "\n"
            "  metric        add\n"
            "  op_accuracy     1\n"
            "  op_target    0.25\n");
  report::Report none;
  add_parts_of_metrics({{"loss", 1}, {"layer_loss/3.1", 2}, {"execution_0.01", 1}}, none);
  EXPECT_TRUE(none.parts.empty());
}

}  // namespace
}  // namespace fathom
