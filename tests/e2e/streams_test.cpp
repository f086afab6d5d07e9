// What can be read only once, wanted by the checker and by the engine; and files cut meanwhile.
#include <sys/stat.h>

#include "e2e/small_run.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::slurp;
using testing::SmallRuns;
using testing::Words;
namespace fs = std::filesystem;

class StreamsTest : public ::testing::Test {
 protected:
  Outcome with_stdin(const Words& words, const std::string& text) const {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const pid_t child = place_.start(words, [&] {
      ::close(ends[1]);
      ::dup2(ends[0], 0);
    });
    ::close(ends[0]);
    EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    return place_.wait_for(child);
  }

  SmallRuns place_;
};

TEST_F(StreamsTest, ThePipesOfTrainGenerateAndTraceAreHandedOver) {
  Words words = SmallRuns::train_words({"--run_name=base", "/dev/stdin"});
  Outcome o = with_stdin(words, "n_embd = 48\nmax_iters = 2\n");
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const std::string config = slurp(place_.path("runs/base/config.toml"));
  EXPECT_THAT(config, HasSubstr("n_embd = 48"));
  EXPECT_THAT(config, HasSubstr("max_iters = 2"));
  o = with_stdin(SmallRuns::train_words({"--run_name=base", "--resume", "--config=/dev/stdin"}),
                 "max_iters = 4\n");
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(place_.saved_step("base"), 4);

  o = with_stdin({"generate", "base", "--start=FILE:/dev/stdin", "--max_new_tokens=3"}, "the ");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(o.out.substr(0, 4), "the ");
  o = with_stdin({"trace", "base", "--text=FILE:/dev/stdin", "--format=json"}, "the rain");
  EXPECT_EQ(o.exit_code, 0) << o.err;

  ASSERT_EQ(::mkfifo(place_.path("fifo").c_str(), 0600), 0);
  const pid_t child = place_.start({"generate", "base", "--start=FILE:fifo", "--max_new_tokens=3"});
  std::ofstream(place_.path("fifo")) << "rain";
  o = place_.wait_for(child);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(o.out.substr(0, 4), "rain");
}

TEST_F(StreamsTest, PathsAreBytes) {
  fs::rename(place_.path("data/rain"), place_.path("data/plui\xe9"));
  Outcome o = place_.train({"--run_name=latin", "--dataset=plui\xe9", "--max_iters=2"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(slurp(place_.path("runs/latin/config.toml")),
              HasSubstr("dataset = \"file:plui%E9\""));
  Words again = {"--run_name=latin", "--dataset=plui\xe9", "--max_iters=4", "--resume"};
  o = place_.train(again);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  o = place_.run({"eval", "latin", "--json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  o = place_.run({"trace", "latin", "--text=the rain", "--output=trac\xe9.json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_TRUE(fs::exists(place_.path("trac\xe9.json")));
}

}  // namespace
}  // namespace fathom
