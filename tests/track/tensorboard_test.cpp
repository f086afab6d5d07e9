// Event files as another program sees them: bytes that TensorFlow writes too, and the reader of
// event_reader.h.
#include "fathom/track/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>
#include <set>
#include <thread>

#include "track/event_reader.h"
#include "track/support.h"

namespace fathom {
namespace {

using event_file::Event;
using event_file::events;
using event_file::records;
using event_file::slurp;
using event_file::steps_with_values;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kEventInfinity = std::numeric_limits<double>::infinity();
constexpr double kEventNaN = std::numeric_limits<double>::quiet_NaN();

class TensorBoardTest : public ::testing::Test {
 protected:
  static void add(TensorBoardWriter& board, int64_t step, std::vector<MetricValue> values,
                  double wall_time = 1) {
    board.add(step, values, wall_time);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(runs_.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  TempFolder runs_;
};

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  // RFC 3720, B.4.
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending += static_cast<char>(i);
    descending += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c(descending), 0x113FDB5Cu);
}

// The first record is the one that TensorFlow 2 wrote at that time, the second was put together by
// hand from the messages' definitions.
TEST_F(TensorBoardTest, EveryByteIsKnown) {
  TensorBoardWriter board(runs_.path(), std::nullopt, 1599759586.0);
  const std::string version(
      "\x18\x00\x00\x00\x00\x00\x00\x00"  // 24 bytes
      "\xa3\x7f\x4b\x22"                  // their number's checksum
      "\x09\x00\x00\x80\x38\x99\xd6\xd7\x41"
      "\x1a\x0d"
      "brain.Event:2"
      "\x12\x4b\x36\xab",
      40);
  EXPECT_EQ(slurp(board.path()), version);

  add(board, 300, {{"loss", 0.5}}, 1.5);
  const std::string loss(
      "\x1b\x00\x00\x00\x00\x00\x00\x00"
      "\x1a\x0d\x9e\x13"
      "\x09\x00\x00\x00\x00\x00\x00\xf8\x3f"  // 1: wall_time, 1.5
      "\x10\xac\x02"                          // 2: step, 300 = 0x2c + 2 * 128
      "\x2a\x0d"                              // 5: summary of 13 bytes
      "\x0a\x0b"                              // 1: value of 11
      "\x0a\x04"                              // 1: tag
      "loss"
      "\x15\x00\x00\x00\x3f"  // 2: simple_value, 0.5
      "\x69\xf9\x31\x5b",
      43);
  EXPECT_EQ(slurp(board.path()), version + loss);
}

TEST_F(TensorBoardTest, ComesBackAsAdded) {
  TensorBoardWriter board(runs_ / "new/folders");
  const std::string long_name(300, 'n');
  add(board, 0, {{"zero", 0}, {"minus", -0.0}}, 10);
  add(board, 1, {{"eval/val/loss", 0.1}, {"gr\xC3\xBC\xC3\x9F", -1e10}, {long_name, 1e-45}}, 20.25);
  add(board, int64_t{1} << 40,
      {{"a", kEventNaN}, {"b", kEventInfinity}, {"c", -kEventInfinity}, {"d", 1e300}});
  add(board, -1, {{"", 3}});

  const std::vector<Event> all = events(slurp(board.path()));
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].version, "brain.Event:2");
  EXPECT_NEAR(all[0].wall_time, wall_clock(), 60);
  EXPECT_EQ(all[1].step, 0);
  EXPECT_THAT(all[1].values, ElementsAre(std::pair("zero", 0.0f), std::pair("minus", -0.0f)));
  EXPECT_TRUE(std::signbit(all[1].values[1].second));
  EXPECT_EQ(all[2].wall_time, 20.25);
  EXPECT_THAT(all[2].values,
              ElementsAre(std::pair("eval/val/loss", 0.1f), std::pair("gr\xC3\xBC\xC3\x9F", -1e10f),
                          std::pair(long_name, 1e-45f)));
  EXPECT_EQ(all[3].step, int64_t{1} << 40);
  ASSERT_EQ(all[3].values.size(), 4u);
  EXPECT_TRUE(std::isnan(all[3].values[0].second));
  EXPECT_EQ(all[3].values[1].second, kEventInfinity);
  EXPECT_EQ(all[3].values[2].second, -kEventInfinity);
  EXPECT_EQ(all[3].values[3].second, kEventInfinity) << "beyond float32";
  EXPECT_EQ(all[4].step, -1);
  for (const Event& event : all) EXPECT_EQ(event.session_status, 0u) << "a run that begins";
}

TEST_F(TensorBoardTest, TimeIsThatOfTheCall) {
  TensorBoardWriter board(runs_.path());
  const double before = wall_clock();
  board.add(1, std::vector<MetricValue>{{"a", 1}});
  const double written = events(slurp(board.path())).at(1).wall_time;
  EXPECT_GE(written, before);
  EXPECT_LE(written, wall_clock());
  EXPECT_GT(before, 1.7e9);
}

TEST_F(TensorBoardTest, NoValuesNoRecord) {
  TensorBoardWriter board(runs_.path());
  add(board, 1, {});
  EXPECT_EQ(records(slurp(board.path())).size(), 1u);
}

// Protobuf's readers refuse a whole event for a text that is not UTF-8.
TEST_F(TensorBoardTest, NamesAreMadeUtf8) {
  TensorBoardWriter board(runs_.path());
  add(board, 1, {{"a\xFF/\xC3", 1}});
  EXPECT_EQ(events(slurp(board.path())).at(1).values.at(0).first, "a\xEF\xBF\xBD/\xEF\xBF\xBD");
}

TEST_F(TensorBoardTest, FileIsNamedAsTensorBoardExpects) {
  const TensorBoardWriter board(runs_.path(), std::nullopt, 1599759586.9);
  const std::string name = std::filesystem::path(board.path()).filename().string();
  EXPECT_EQ(name.rfind("events.out.tfevents.1599759586.", 0), 0u) << name;
  const std::string process = "." + std::to_string(getpid());
  ASSERT_GT(name.size(), process.size());
  EXPECT_EQ(name.substr(name.size() - process.size()), process);
  EXPECT_EQ(runs_ / name, board.path());
}

TEST_F(TensorBoardTest, ResumeBeginsANewFileThatPurges) {
  std::string first, second;
  {
    TensorBoardWriter board(runs_.path());
    for (int64_t step : {10, 20, 30}) add(board, step, {{"loss", 1}});
    first = board.path();
  }
  const std::string before = slurp(first);
  TensorBoardWriter board(runs_.path(), 21);
  add(board, 30, {{"loss", 2}});
  second = board.path();

  EXPECT_EQ(slurp(first), before);
  EXPECT_LT(first, second) << "TensorBoard reads them in the order of their names";
  const std::vector<Event> all = events(slurp(second));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].version, "brain.Event:2");
  EXPECT_EQ(all[1].session_status, 1u);  // START
  EXPECT_EQ(all[1].step, 21);
  EXPECT_EQ(all[2].step, 30);
}

// Else TensorBoard shows two points for each step.
TEST_F(TensorBoardTest, StartingAgainAtStep0PurgesToo) {
  const auto start_of = [](const TensorBoardWriter& board) {
    const std::vector<Event> all = events(slurp(board.path()));
    EXPECT_EQ(all.size(), 2u);
    return std::pair(all.at(1).session_status, all.at(1).step);
  };
  { TensorBoardWriter first(runs_.path()); }
  EXPECT_EQ(start_of(TensorBoardWriter(runs_.path(), 0)), std::pair(uint64_t{1}, int64_t{0}));
  EXPECT_EQ(start_of(TensorBoardWriter(runs_.path())), std::pair(uint64_t{1}, int64_t{0}))
      << "whatever the caller thinks, there are other files";
  EXPECT_EQ(start_of(TensorBoardWriter(runs_ / "new", 0)), std::pair(uint64_t{1}, int64_t{0}));
}

TEST_F(TensorBoardTest, KnowsWhetherItsFileIsStillThere) {
  TensorBoardWriter board(runs_ / "board");
  EXPECT_TRUE(board.is_there());
  std::filesystem::remove_all(runs_ / "board");
  EXPECT_FALSE(board.is_there());
  EXPECT_NO_THROW(add(board, 1, {{"a", 1}})) << "which is why one has to ask";
}

TEST_F(TensorBoardTest, NewFileIsTheLastWhateverTheClockSays) {
  std::vector<std::string> paths;
  for (const double wall_time : {2000.0, 2000.5, 1000.0, 3000.0, -5.0, kEventNaN})
    paths.push_back(TensorBoardWriter(runs_.path(), std::nullopt, wall_time).path());
  EXPECT_TRUE(std::is_sorted(paths.begin(), paths.end()));
  EXPECT_EQ(std::set<std::string>(paths.begin(), paths.end()).size(), paths.size());
  EXPECT_THAT(paths.back(), HasSubstr(".0000003002."));
  for (const char* foreign : {"events.out.tfevents.", "events.out.tfevents.x", "notes.txt",
                              "events.out.tfevents.99999x9999.host"})
    write_file(runs_ / foreign, "");
  EXPECT_THAT(TensorBoardWriter(runs_.path(), std::nullopt, 1).path(), HasSubstr(".0000003003."));
}

TEST_F(TensorBoardTest, ManyMayBeginAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i)
    children.push_back(in_process([&] {
      TensorBoardWriter board(runs_.path());
      add(board, 1, {{"loss", 1}});
    }));
  for (const pid_t child : children) EXPECT_TRUE(succeeded(child));
  EXPECT_EQ(names().size(), 6u);
  for (const std::string& name : names())
    EXPECT_THAT(steps_with_values(slurp(runs_ / name)), ElementsAre(1));
}

TEST_F(TensorBoardTest, AnyBeginningOfAFileIsReadable) {
  TensorBoardWriter board(runs_.path());
  for (int64_t step = 1; step <= 3; ++step) add(board, step, {{"loss", 1}, {"lr", 2}});
  const std::string file = slurp(board.path());
  size_t most = 0;
  for (size_t length = 0; length <= file.size(); ++length) {
    const size_t found = records(file.substr(0, length)).size();
    EXPECT_GE(found, most);
    most = found;
  }
  EXPECT_EQ(most, 4u);
}

TEST_F(TensorBoardTest, KilledProcessLeavesWhatItWrote) {
  const pid_t child = in_process([&] {
    TensorBoardWriter board(runs_.path());
    for (int64_t step = 1;; ++step) add(board, step, {{"loss", 1}, {"lr", 2}});
  });
  const auto written = [&] {
    return names().empty() ? 0 : std::filesystem::file_size(runs_ / names()[0]);
  };
  while (written() < 20'000) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(child, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(wait_status(child)));

  size_t rest = 0;
  const std::string file = slurp(runs_ / names().at(0));
  records(file, &rest);
  EXPECT_LT(rest, 100u) << "one incomplete record at most";
  const std::vector<int64_t> steps = steps_with_values(file);
  ASSERT_GT(steps.size(), 200u);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], static_cast<int64_t>(i) + 1);
}

// The limit on a file's size stands for a full disk: a write succeeds in part, the next one fails.
TEST_F(TensorBoardTest, FullDiskCostsOneRecordOnly) {
  const pid_t child = in_process([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    TensorBoardWriter board(runs_.path());
    add(board, 1, {{"loss", 1}});
    const auto size = std::filesystem::file_size(board.path());
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit narrow = {size + 10, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &narrow);
    const std::string error = error_of([&] { add(board, 2, {{"loss", 2}}); });
    if (error.find("cannot write " + board.path() + ": File too large") == std::string::npos)
      fail(error);
    if (std::filesystem::file_size(board.path()) != size) fail("half a record was left");
    setrlimit(RLIMIT_FSIZE, &limit);
    add(board, 3, {{"loss", 3}});
  });
  ASSERT_TRUE(succeeded(child));
  size_t rest = 1;
  const std::string file = slurp(runs_ / names().at(0));
  records(file, &rest);
  EXPECT_EQ(rest, 0u);
  EXPECT_THAT(steps_with_values(file), ElementsAre(1, 3));
}

TEST_F(TensorBoardTest, FolderThatCannotBeIsNamed) {
  write_file(runs_ / "file", "");
  const std::string below = runs_ / "file/tensorboard";
  EXPECT_THAT(error_of([&] { TensorBoardWriter board(below); }),
              AllOf(HasSubstr("cannot create the folder " + below), HasSubstr("HINT: ")));
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(TensorBoardTest, MovedWriterGoesOn) {
  TensorBoardWriter a(runs_.path());
  const std::string path = a.path();
  TensorBoardWriter b = std::move(a);
  add(b, 1, {{"loss", 1}});
  b = TensorBoardWriter(runs_ / "other");
  add(b, 2, {{"loss", 2}});
  EXPECT_THAT(steps_with_values(slurp(path)), ElementsAre(1));
  EXPECT_THAT(steps_with_values(slurp(b.path())), ElementsAre(2));
}

}  // namespace
}  // namespace fathom
