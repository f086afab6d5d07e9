#include "fathom/track/run_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "fathom/track/sqlite.h"
#include "track/support.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> values_of(const std::vector<Point>& points) {
  std::vector<double> values;
  for (const Point& point : points) values.push_back(point.value);
  return values;
}

std::vector<int64_t> steps_of(const std::vector<Point>& points) {
  std::vector<int64_t> steps;
  for (const Point& point : points) steps.push_back(point.step);
  return steps;
}

// The names, then "step: values" of every step, "-" where there is none.
std::vector<std::string> rows_of(const RunStore& store, const std::string& run) {
  std::vector<std::string> rows;
  store.for_each_step(run, [&](const std::vector<std::string>& names, const StepValues& row) {
    if (rows.empty()) rows.push_back(fmt::format("{}", fmt::join(names, " ")));
    std::string text = fmt::format("{}:", row.step);
    for (const auto& value : row.values) text += value ? fmt::format(" {}", *value) : " -";
    rows.push_back(text);
  });
  return rows;
}

class RunStoreTest : public ::testing::Test {
 protected:
  void add(RunStore& store, RunHandle run, int64_t step, std::vector<MetricValue> values) {
    store.add(run, step, values);
  }
  TempFolder folder_;
  const std::string path_ = folder_ / "fathom.db";
};

TEST_F(RunStoreTest, PathFollowsTheRunsFolder) {
  const ScopedEnvironment runs("FATHOM_RUNS", "/some/where");
  EXPECT_EQ(run_store_path(), "/some/where/fathom.db");
}

TEST_F(RunStoreTest, RunComesBackAsItWasCreated) {
  const std::string config = "# gr\xC3\xBC\xC3\x9F \"quoted\" 'too'\nn_layer = 4\n";
  RunStore store(folder_ / "new/folders/fathom.db");
  const RunHandle run = store.create_run("gpt2ish-1", "gpt2ish", config);

  const std::optional<RunRecord> record = store.find("gpt2ish-1");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->id, run.id);
  EXPECT_EQ(record->name, "gpt2ish-1");
  EXPECT_EQ(record->experiment, "gpt2ish");
  EXPECT_EQ(record->config_toml, config);
  EXPECT_EQ(record->status, RunStatus::kRunning);
  EXPECT_EQ(record->last_step, -1) << "no step has a value, not even 0";
  EXPECT_EQ(record->best_metric, "");
  EXPECT_EQ(record->best_step, -1);
  EXPECT_FALSE(record->best_value) << "never evaluated is not 0";
  EXPECT_GT(record->created_at, 1.7e9);
  EXPECT_EQ(record->updated_at, record->created_at);
  EXPECT_FALSE(store.find("gpt2ish-2"));
}

TEST_F(RunStoreTest, EverythingIsThereAfterReopening) {
  {
    RunStore store(path_);
    const RunHandle run = store.create_run("a", "e", "");
    add(store, run, 1, {{"loss", 4.5}});
    store.set_best(run, "val/loss", 1, 4.25);
    store.set_status(run, RunStatus::kDone);
  }
  const RunStore store(path_, {/*read_only=*/true});
  const RunRecord record = store.find("a").value();
  EXPECT_EQ(record.status, RunStatus::kDone);
  EXPECT_EQ(record.best_metric, "val/loss");
  EXPECT_EQ(record.best_step, 1);
  EXPECT_EQ(record.best_value, 4.25);
  EXPECT_THAT(values_of(store.series("a", "loss")), ElementsAre(4.5));
}

TEST_F(RunStoreTest, StatusesHaveNames) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  const std::pair<RunStatus, std::string> all[] = {{RunStatus::kRunning, "running"},
                                                   {RunStatus::kDone, "done"},
                                                   {RunStatus::kFailed, "failed"},
                                                   {RunStatus::kInterrupted, "interrupted"},
                                                   {RunStatus::kKilled, "killed"}};
  for (const auto& [status, name] : all) {
    EXPECT_EQ(status_name(status), name);
    store.set_status(run, status);
    EXPECT_EQ(store.find("a")->status, status);
  }
}

TEST_F(RunStoreTest, SeriesIsOrderedByStep) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  const RunHandle other = store.create_run("b", "e", "");
  add(store, run, 20, {{"loss", 2}, {"lr", 0.2}});
  add(store, run, 3, {{"loss", 3}, {"lr", 0.3}});
  add(store, run, 100, {{"loss", 1}});
  add(store, other, 4, {{"loss", 9}, {"acc", 0.5}});

  EXPECT_THAT(steps_of(store.series("a", "loss")), ElementsAre(3, 20, 100));
  EXPECT_THAT(values_of(store.series("a", "loss")), ElementsAre(3, 2, 1));
  EXPECT_THAT(store.metric_names("a"), ElementsAre("loss", "lr"));
  EXPECT_THAT(store.metric_names("b"), ElementsAre("acc", "loss"));
  EXPECT_EQ(store.find("a")->last_step, 100);
  EXPECT_THAT(store.series("a", "acc"), IsEmpty());
  EXPECT_THAT(store.series("c", "loss"), IsEmpty());
  EXPECT_EQ(store.last_point("a", "loss")->step, 100);
}

TEST_F(RunStoreTest, EveryStepIsVisitedOnceInOrder) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  add(store, store.create_run("b", "e", ""), 4, {{"loss", 9}, {"acc", 0.5}});
  add(store, run, 100, {{"loss", 1}});
  add(store, run, 20, {{"val", kNaN}});
  add(store, run, 3, {{"lr", 0.25}, {"loss", 3}});
  add(store, run, 20, {{"loss", -kInfinity}, {"Zeta", 2}});
  EXPECT_THAT(rows_of(store, "a"),
              ElementsAre("Zeta loss lr val", "3: - 3 0.25 -", "20: 2 -inf - nan", "100: - 1 - -"));
  EXPECT_THAT(rows_of(store, "b"), ElementsAre("acc loss", "4: 0.5 9"));
  EXPECT_THAT(rows_of(store, "c"), IsEmpty());
  store.create_run("empty", "e", "");
  EXPECT_THAT(rows_of(store, "empty"), IsEmpty());
  store.reopen_run("a", "", 3);
  EXPECT_THAT(rows_of(store, "a"), ElementsAre("loss lr", "3: 3 0.25"));
}

TEST_F(RunStoreTest, VisitsShowOneMoment) {
  RunStore writer(path_);
  const RunHandle run = writer.create_run("a", "e", "");
  add(writer, run, 1, {{"loss", 1}});
  add(writer, run, 3, {{"loss", 3}});
  const RunStore reader(path_, {/*read_only=*/true});
  std::vector<int64_t> seen;
  reader.for_each_step("a", [&](const std::vector<std::string>& names, const StepValues& row) {
    EXPECT_THAT(names, ElementsAre("loss"));
    seen.push_back(row.step);
    add(writer, run, row.step + 1, {{"loss", 2}, {"acc", 2}});
    EXPECT_THAT(reader.metric_names("a"), ElementsAre("loss"));
  });
  EXPECT_THAT(seen, ElementsAre(1, 3));
  EXPECT_THAT(steps_of(reader.series("a", "acc")), ElementsAre(2, 4));

  // It ends with an exception too, and the store can be written to again.
  EXPECT_THAT(error_of([&] {
                writer.for_each_step("a", [](const auto&, const StepValues&) { fail("enough"); });
              }),
              HasSubstr("enough"));
  add(writer, run, 5, {{"loss", 5}});
}

TEST_F(RunStoreTest, NumbersSurviveBitForBit) {
  const std::vector<double> numbers = {0.1,
                                       -1.0 / 3.0,
                                       1e308,
                                       std::numeric_limits<double>::denorm_min(),
                                       std::numeric_limits<double>::lowest(),
                                       9007199254740993.0,
                                       kInfinity,
                                       -kInfinity};
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  for (size_t i = 0; i < numbers.size(); ++i)
    add(store, run, static_cast<int64_t>(i), {{"x", numbers[i]}});
  EXPECT_EQ(values_of(store.series("a", "x")), numbers);
}

TEST_F(RunStoreTest, NaNComesBackAsNaN) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  add(store, run, 1, {{"loss", 1}});
  add(store, run, 2, {{"loss", kNaN}});
  add(store, run, 3, {{"loss", -kNaN}});
  const std::vector<double> values = values_of(store.series("a", "loss"));
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[0], 1);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_TRUE(std::isnan(values[2]));
  store.set_best(run, "loss", 2, kNaN);
  EXPECT_TRUE(std::isnan(store.find("a")->best_value.value()));
}

TEST_F(RunStoreTest, LaterValueOfAStepReplacesTheEarlier) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  add(store, run, 1, {{"loss", 3}, {"loss", 2}});
  EXPECT_THAT(values_of(store.series("a", "loss")), ElementsAre(2));
  add(store, run, 1, {{"loss", 1}});
  EXPECT_THAT(values_of(store.series("a", "loss")), ElementsAre(1));
}

TEST_F(RunStoreTest, RunsAreListedNewestFirst) {
  RunStore store(path_);
  EXPECT_THAT(store.runs(), IsEmpty());
  for (const char* name : {"b", "c", "a"}) store.create_run(name, "e", "");
  std::vector<std::string> names;
  for (const RunRecord& record : store.runs()) names.push_back(record.name);
  EXPECT_THAT(names, ElementsAre("a", "c", "b"));
}

TEST_F(RunStoreTest, NameIsTakenOnce) {
  RunStore store(path_);
  store.create_run("a", "e", "first");
  EXPECT_THAT(error_of([&] { store.create_run("a", "e", "second"); }),
              AllOf(HasSubstr("a run named a is already in run store " + path_),
                    HasSubstr("HINT: choose another --run_name, or --force")));
  EXPECT_EQ(store.find("a")->config_toml, "first");
  EXPECT_THAT(error_of([&] { store.create_run("../a", "e", ""); }),
              HasSubstr("is not a name for a run"));
}

TEST_F(RunStoreTest, DeletedRunTakesItsValuesAlong) {
  RunStore store(path_);
  const RunHandle old = store.create_run("a", "e", "");
  add(store, old, 1, {{"loss", 1}});
  EXPECT_TRUE(store.delete_run("a"));
  EXPECT_FALSE(store.delete_run("a"));
  const RunHandle run = store.create_run("a", "e", "");
  EXPECT_NE(run.id, old.id);
  EXPECT_THAT(store.series("a", "loss"), IsEmpty());

  // Whoever still holds the old handle is told, and writes nothing.
  EXPECT_THAT(error_of([&] { add(store, old, 2, {{"loss", 2}}); }), HasSubstr("no longer in"));
  EXPECT_THAT(error_of([&] { store.set_status(old, RunStatus::kDone); }), HasSubstr("no longer"));
  EXPECT_THAT(error_of([&] { store.set_best(old, "loss", 2, 2); }), HasSubstr("no longer in"));
  EXPECT_EQ(Database(path_, true, 0).integer("SELECT count(*) FROM metrics"), 0);
}

TEST_F(RunStoreTest, ReopeningForResumeDropsLaterSteps) {
  RunStore store(path_);
  const RunHandle run = store.create_run("a", "e", "");
  for (int64_t step : {10, 20, 30}) add(store, run, step, {{"loss", 1}, {"lr", 1}});
  store.set_best(run, "loss", 20, 1);
  store.set_status(run, RunStatus::kInterrupted);

  EXPECT_EQ(store.reopen_run("a", "changed = 1", 20).id, run.id);
  EXPECT_THAT(steps_of(store.series("a", "loss")), ElementsAre(10, 20));
  EXPECT_THAT(steps_of(store.series("a", "lr")), ElementsAre(10, 20));
  RunRecord record = store.find("a").value();
  EXPECT_EQ(record.status, RunStatus::kRunning);
  EXPECT_EQ(record.last_step, 20);
  EXPECT_EQ(record.best_step, 20);

  store.reopen_run("a", "", 15);  // before the best step, which may come out otherwise this time
  EXPECT_EQ(store.find("a")->best_metric, "");
  EXPECT_EQ(store.find("a")->best_step, -1);
  EXPECT_FALSE(store.find("a")->best_value);
  EXPECT_THAT(error_of([&] { store.reopen_run("b", "", 0); }),
              HasSubstr("there is no run named b"));
}

TEST_F(RunStoreTest, ReadOnlyNeitherCreatesNorWrites) {
  EXPECT_THAT(error_of([&] { RunStore(path_, {/*read_only=*/true}); }),
              HasSubstr("there is no run store " + path_));
  EXPECT_FALSE(std::filesystem::exists(path_));
  write_file(path_, "");
  EXPECT_THAT(error_of([&] { RunStore(path_, {/*read_only=*/true}); }),
              HasSubstr("there is no run store " + path_));
  RunStore(path_).create_run("a", "e", "");
  RunStore reader(path_, {/*read_only=*/true});
  EXPECT_THAT(error_of([&] { reader.create_run("b", "e", ""); }), HasSubstr("read-only"));
  EXPECT_EQ(reader.runs().size(), 1u);
}

TEST_F(RunStoreTest, OtherFilesAreRefused) {
  write_file(path_, std::string(5000, 'x'));
  EXPECT_THAT(error_of([&] { RunStore store(path_); }),
              AllOf(HasSubstr(path_ + " is damaged or is not a SQLite database"),
                    HasSubstr("HINT: move it away")));
  EXPECT_EQ(std::filesystem::file_size(path_), 5000u);

  const std::string foreign = folder_ / "photos.db";
  Database(foreign, false, 0).run("CREATE TABLE photos (id INTEGER)");
  EXPECT_THAT(error_of([&] { RunStore store(foreign); }),
              HasSubstr("is a database, but not a run store of fathom"));
  EXPECT_THAT(error_of([&] { RunStore store(folder_.path()); }), HasSubstr("cannot be opened"));
}

TEST_F(RunStoreTest, NewerSchemaIsRefused) {
  RunStore(path_).create_run("a", "e", "");
  Database(path_, false, 0).run("PRAGMA user_version = 99");
  EXPECT_THAT(error_of([&] { RunStore store(path_); }),
              AllOf(HasSubstr("has schema version 99, and this fathom knows versions up to 1"),
                    HasSubstr("HINT: use the fathom that wrote it")));
}

// A view could compute for ever.
TEST_F(RunStoreTest, TablesAreRequired) {
  RunStore(path_).create_run("a", "e", "");
  Database(path_, false, 0).run("DROP TABLE metrics; CREATE VIEW metrics AS SELECT 1 AS run_id");
  EXPECT_THAT(error_of([&] { RunStore store(path_); }),
              AllOf(HasSubstr(path_ + " lacks its tables runs and metrics"),
                    HasSubstr("HINT: move it away")));
}

// A BLOB is greater than every text, and so than itself as text: the search for the name after it
// came back to it for ever.
TEST_F(RunStoreTest, NameThatIsNoTextIsReported) {
  {
    RunStore store(path_);
    add(store, store.create_run("a", "e", ""), 1, {{"loss", 1}, {"lr", 2}});
  }
  Database(path_, false, 0).run("UPDATE metrics SET name = CAST(name AS BLOB) WHERE name = 'lr'");
  EXPECT_THAT(error_of([&] { RunStore(path_).metric_names("a"); }),
              AllOf(HasSubstr("the names of \"a\"'s metrics do not come in order"),
                    HasSubstr("typeof(name) != 'text'")));
}

TEST_F(RunStoreTest, UnknownStatusIsNamed) {
  RunStore(path_).create_run("a", "e", "");
  Database(path_, false, 0).run("UPDATE runs SET status = 'asleep'");
  EXPECT_THAT(error_of([&] { RunStore(path_).runs(); }), HasSubstr("unknown status \"asleep\""));
}

// Whatever is wrong with the bytes, a reader throws an Error or returns what it finds.
TEST_F(RunStoreTest, DamagedPagesAreReported) {
  {
    RunStore store(path_);
    const RunHandle run = store.create_run("a", "e", std::string(20000, 'c'));
    for (int64_t step = 0; step < 500; ++step) add(store, run, step, {{"loss", 1}, {"lr", 2}});
  }
  std::string bytes(std::filesystem::file_size(path_), '\0');
  std::ifstream(path_, std::ios::binary).read(bytes.data(), static_cast<long>(bytes.size()));
  int reported = 0;
  for (size_t at = 0; at < bytes.size(); at += 1024) {
    std::string damaged = bytes;
    for (size_t i = at; i < std::min(at + 64, bytes.size()); ++i) damaged[i] ^= 0x5A;
    write_file(path_, damaged);
    const std::string error = error_of([&] {
      const RunStore store(path_, {/*read_only=*/true});
      store.runs();
      store.series("a", "loss");
      store.metric_names("a");
      store.for_each_step("a", [](const auto&, const StepValues&) {});
    });
    reported += error != "no error";
    EXPECT_THAT(error, ::testing::AnyOf("no error", HasSubstr(path_)));
  }
  EXPECT_GT(reported, 0);
}

TEST_F(RunStoreTest, LockIsWaitedForAndThenNamed) {
  RunStore(path_).create_run("a", "e", "");
  Database other(path_, false, 0);
  WriteTransaction holding(other);
  RunStore store(path_, {/*read_only=*/false, /*busy_timeout_ms=*/50});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of([&] { store.create_run("b", "e", ""); }),
              AllOf(HasSubstr("is locked: another process has been writing to it for more than "
                              "0.05 s"),
                    HasSubstr("fuser")));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(45));
  EXPECT_EQ(store.runs().size(), 1u);  // readers do not wait
  holding.commit();
  store.create_run("b", "e", "");
}

}  // namespace
}  // namespace fathom
