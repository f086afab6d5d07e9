// Sizes of a run, and the notebook's log of one, through the programs.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/small_run.h"
#include "fathom/track/run_store.h"
#include "track/notebook_reader.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// One run with the notebook's console, looked at from all sides.
TEST(NotebookRun, SaysTheNotebooksLinesAndNothingElse) {
  const SmallRuns place;
  const Words settings = {"--max_iters=4", "--eval_interval=2", "--eval_iters=1"};
  const auto with = [&](Words more) {
    more.insert(more.end(), settings.begin(), settings.end());
    return place.train(more);
  };
  const Outcome o = with({"--run_name=book", "--log_format=notebook", "--sample_interval=50",
                          "--sample_prompt=the rain"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  std::vector<NotebookStep> steps;
  std::vector<double> val;
  std::vector<NotebookSizes> sizes;
  size_t infos = 0, histograms = 0, samples = 0, guesses = 0, others = 0;
  std::string size_line;
  for (const std::string& line : lines_of(o.out)) {
    NotebookPoint point;
    if (read_notebook_point(line, point)) {
      if (point.stream == "train")
        steps.push_back(read_notebook_step(line));
      else
        val.push_back(point.value);
    } else if (line.rfind("SIZE COMPARISON", 0) == 0) {
      sizes.push_back(read_notebook_sizes(line, ""));
    } else if (line.rfind("INFO nextres", 0) == 0) {
      ++infos;
    } else if (line.find("_hist ") != std::string::npos) {
      double sum = 0;
      for (const double count : numbers_between(line, '<', '>')) sum += count;
      EXPECT_EQ(sum, 32) << "channels: " << line;
      ++histograms;
    } else if (line.rfind("layer ", 0) == 0 || line.rfind("answer:", 0) == 0) {
      ++guesses;
    } else if (line.rfind("rank 0 sample 0: the rain", 0) == 0) {
      ++samples;
    } else if (samples == 0) {  // a sample may have line breaks
      ++others;
    }
  }
  ASSERT_EQ(steps.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(steps[i].step, int64_t(i));
    EXPECT_GT(steps[i].train, 0);
    EXPECT_EQ(steps[i].all, steps[i].train);
    EXPECT_EQ(steps[i].early_stops, (std::vector<double>{0, 0}));
    EXPECT_EQ(steps[i].batch_reuse, 1);
  }
  EXPECT_EQ(val.size(), 2U) << "at 2 and 4";
  // Before the updates of steps 0 (50 modulo 50), 1 and 3: two layers each.
  EXPECT_EQ(samples, 3U);
  EXPECT_EQ(sizes.size(), 6U);
  EXPECT_EQ(infos, 6U);
  EXPECT_EQ(histograms, 12U);
  EXPECT_EQ(guesses, 3U * 2 * 3);
  EXPECT_EQ(others, 0U) << o.out;
  for (const NotebookSizes& s : sizes) EXPECT_GT(s.previous, 0);

  // The run itself is the one that nobody watched, and a sample in our own words is a line.
  const Outcome plain = with({"--run_name=plain", "--sample_interval=2"});
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("step 2 sample: "));
  EXPECT_THAT(plain.out, HasSubstr("step 4 sample: ")) << "of the finished model";
  for (const char* other : {"step 1 sample: ", "step 3 sample: "})
    EXPECT_THAT(plain.out, Not(HasSubstr(other)));
  EXPECT_EQ(with({"--run_name=alone"}).exit_code, 0);
  for (const char* run : {"book", "plain"})
    EXPECT_EQ(slurp(place.checkpoint(run, "last") + "/model.safetensors"),
              slurp(place.checkpoint("alone", "last") + "/model.safetensors"))
        << run;
  const RunStore store(place.path("runs/fathom.db"), {/*read_only=*/true});
  EXPECT_EQ(store.series("book", "train/loss").size(), store.series("alone", "train/loss").size());
  // An objective of one term that is not the loss tells it.
  const Outcome one = with({"--run_name=one", "--objective=confidence = -ln(p_max)"});
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_FALSE(store.series("one", "train/part/confidence").empty());
  EXPECT_TRUE(store.series("alone", "train/part/loss").empty());

  // Its sizes.
  const Outcome looked = place.run({"sizes", "plain", "--json", "--sequences=2", "--batches=2",
                                    "--csv=" + place.path("sizes.csv").string()});
  ASSERT_EQ(looked.exit_code, 0) << looked.err;
  const auto json = nlohmann::json::parse(looked.out);
  ASSERT_EQ(json["steps"].size(), 2U);
  EXPECT_EQ(json["rows"], 2 * 2 * 16);
  EXPECT_GT(json["loss"], 0);
  EXPECT_GT(json["steps"][1]["after"]["rms"], 0);
  EXPECT_GT(json["steps"][1]["gradient_norm"], 0);
  EXPECT_NEAR(json["steps"][1]["cross_entropy"].get<double>(), json["loss"].get<double>(), 1e-5);
  EXPECT_FALSE(json["part_gradients"].empty());
  EXPECT_THAT(slurp(place.path("sizes.csv")), HasSubstr("\n1,after,"));
  const Outcome init =
      place.run({"sizes", "quickstart", "--untrained", "--n_layer=2", "--n_head=2", "--n_embd=32",
                 "--vocab_size=97", "--tokens=13", "--gradients=False"});
  EXPECT_EQ(init.exit_code, 0) << init.err;
  EXPECT_THAT(init.out, AllOf(HasSubstr("random tokens"), HasSubstr("Growth of the carry"),
                              Not(HasSubstr("Gradient of the loss by the parameters"))));
}

}  // namespace
}  // namespace fathom::testing
