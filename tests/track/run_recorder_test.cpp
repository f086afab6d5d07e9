// Whatever happens to the store and to TensorBoard's folder, the run goes on, and what can be saved
// is there at the end.
#include "fathom/track/run_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <thread>

#include "fathom/base/stop_signal.h"
#include "fathom/track/sqlite.h"
#include "track/event_reader.h"
#include "track/support.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using event_file::steps_with_values;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RunRecorderTest : public ::testing::Test {
 protected:
  RunRecorderTest() { claim(); }
  void claim() { run_.emplace(RunFolder::claim(folder_ / "runs/a")); }

  RunRecorderOptions options() {
    RunRecorderOptions o;
    o.store = store_;
    o.events_folder = run_->path() + "/tensorboard";
    o.run_name = "a";
    o.experiment = "e";
    o.note = [this](const std::string& sentence) { notes_.push_back(sentence); };
    o.patience_ms = 1;
    o.retry_seconds = 0;
    o.last_seconds = 0.2;
    return o;
  }
  // Steps first to last, one value each.
  static void add(RunRecorder& recorder, int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; ++step)
      recorder.add(step, {{"loss", static_cast<double>(step)}});
  }
  std::vector<int64_t> stored_steps() const {
    std::vector<int64_t> steps;
    for (const Point& p : RunStore(store_, {/*read_only=*/true}).series("a", "loss"))
      steps.push_back(p.step);
    return steps;
  }
  RunRecord record() const { return RunStore(store_, {/*read_only=*/true}).find("a").value(); }
  std::vector<int64_t> event_steps() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_ / "runs/a/tensorboard"))
      files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<int64_t> steps;
    for (const std::string& file : files)
      for (const int64_t step : steps_with_values(event_file::slurp(file))) steps.push_back(step);
    return steps;
  }
  std::string all_notes() const {
    std::string all;
    for (const std::string& note : notes_) all += note + "\n";
    return all;
  }

  TempFolder folder_;
  std::string store_ = folder_ / "runs/fathom.db";
  std::optional<RunFolder> run_;
  std::vector<std::string> notes_;
};

TEST_F(RunRecorderTest, WritesWhatARunIs) {
  RunRecorder recorder(options());
  recorder.begin("n_layer = 1", {});
  add(recorder, 1, 3);
  recorder.set_best("val/loss", 2, 0.5);
  EXPECT_EQ(record().status, RunStatus::kRunning);
  EXPECT_TRUE(recorder.finish(RunStatus::kDone));
  EXPECT_EQ(record().status, RunStatus::kDone);
  EXPECT_EQ(record().config_toml, "n_layer = 1");
  EXPECT_EQ(record().best_value, 0.5);
  EXPECT_THAT(stored_steps(), ElementsAre(1, 2, 3));
  EXPECT_THAT(event_steps(), ElementsAre(1, 2, 3));
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(RunRecorderTest, NothingChangesBeforeItBegins) {
  RunRecorder recorder(options());
  add(recorder, 0, 1);
  recorder.set_best("val/loss", 0, 1);
  EXPECT_TRUE(recorder.finish(RunStatus::kFailed));
  EXPECT_FALSE(fs::exists(store_));
  EXPECT_FALSE(fs::exists(folder_ / "runs/a/tensorboard"));
  recorder.begin("", {});
  EXPECT_TRUE(recorder.finish(RunStatus::kDone));
  EXPECT_THAT(stored_steps(), ElementsAre(0, 1)) << "what was kept comes then";
  EXPECT_EQ(record().best_metric, "val/loss");
}

TEST_F(RunRecorderTest, GoesOnWhereTheCheckpointIs) {
  {
    RunRecorder recorder(options());
    recorder.begin("old", {});
    add(recorder, 1, 5);
    recorder.finish(RunStatus::kInterrupted);
  }
  RunRecorder recorder(options());
  recorder.begin("new", 3);
  EXPECT_THAT(stored_steps(), ElementsAre(1, 2, 3));
  add(recorder, 4, 5);
  recorder.roll_back("new", 4);
  EXPECT_THAT(stored_steps(), ElementsAre(1, 2, 3, 4));
  add(recorder, 5, 5);
  recorder.finish(RunStatus::kDone);
  EXPECT_THAT(stored_steps(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(event_steps(), ElementsAre(1, 2, 3, 4, 5, 3, 4, 5, 5))
      << "each restart purges; step 3 is repeated for it";
  EXPECT_EQ(record().config_toml, "new");
}

TEST_F(RunRecorderTest, AHistoryThatIsDroppedBeginsAnew) {
  {
    RunRecorder recorder(options());
    recorder.begin("", {});
    add(recorder, 0, 2);
    recorder.set_best("val/loss", 0, 1);
    recorder.finish(RunStatus::kDone);
  }
  RunRecorder recorder(options());
  recorder.begin("", -1);
  EXPECT_THAT(stored_steps(), IsEmpty());
  EXPECT_EQ(record().last_step, -1);
  EXPECT_FALSE(record().best_value);
}

TEST_F(RunRecorderTest, ALockedStoreIsWaitedForInMemory) {
  RunStore(store_).create_run("other", "e", "");
  auto other = std::make_unique<Database>(store_, false, 0);
  auto lock = std::make_unique<WriteTransaction>(*other);
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 50);
  EXPECT_EQ(recorder.waiting_values(), 50u);
  EXPECT_THAT(event_steps(), ::testing::SizeIs(50)) << "the other place is not held up";
  ASSERT_EQ(notes_.size(), 1u) << all_notes();
  EXPECT_THAT(notes_[0], AllOf(HasSubstr("is locked"), HasSubstr("kept and tried again")));
  lock.reset();
  add(recorder, 51, 51);
  EXPECT_EQ(recorder.waiting_values(), 0u);
  EXPECT_EQ(stored_steps().size(), 51u);
  lock = std::make_unique<WriteTransaction>(*other);
  add(recorder, 52, 52);
  std::thread([&] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }).join();
  EXPECT_FALSE(recorder.finish(RunStatus::kDone));
  EXPECT_THAT(all_notes(),
              AllOf(HasSubstr("waiting for the run store"),
                    HasSubstr("the run store lacks 1 value and that the run is done")));
  lock.reset();
  EXPECT_EQ(record().status, RunStatus::kRunning);
}

TEST_F(RunRecorderTest, TheEndWaitsForALockThatIsLetGo) {
  RunStore(store_).create_run("other", "e", "");
  const pid_t child = in_process([&] {
    Database database(store_, false, 0);
    WriteTransaction lock(database);
    write_file(folder_ / "locked", "");
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    lock.commit();
  });
  while (!fs::exists(folder_ / "locked")) std::this_thread::yield();
  RunRecorderOptions patient = options();
  patient.last_seconds = 20;
  RunRecorder recorder(patient);
  recorder.begin("", {});
  add(recorder, 1, 3);
  EXPECT_TRUE(recorder.finish(RunStatus::kDone));
  EXPECT_TRUE(succeeded(child));
  EXPECT_THAT(stored_steps(), ElementsAre(1, 2, 3));
  EXPECT_EQ(record().status, RunStatus::kDone);
}

TEST_F(RunRecorderTest, ASignalEndsTheWait) {
  RunStore(store_).create_run("other", "e", "");
  Database other(store_, false, 0);
  const WriteTransaction lock(other);
  RunRecorderOptions patient = options();
  patient.last_seconds = 60;
  RunRecorder recorder(patient);
  recorder.begin("", {});
  const StopSignal signal;
  std::thread later([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ::kill(getpid(), SIGTERM);
  });
  EXPECT_FALSE(recorder.finish(RunStatus::kDone));
  later.join();
}

TEST_F(RunRecorderTest, ADeletedRowIsNoted) {
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 2);
  RunStore(store_).delete_run("a");
  add(recorder, 3, 4);
  EXPECT_TRUE(recorder.finish(RunStatus::kDone));
  ASSERT_EQ(notes_.size(), 1u) << all_notes();
  EXPECT_THAT(notes_[0], HasSubstr("no longer in run store"));
  EXPECT_FALSE(RunStore(store_).find("a"));
  EXPECT_THAT(event_steps(), ElementsAre(1, 2, 3, 4));
}

TEST_F(RunRecorderTest, ARemovedStoreIsNotWrittenToUnseen) {
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 1);
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(store_ + suffix);
  add(recorder, 2, 2);
  recorder.finish(RunStatus::kDone);
  EXPECT_THAT(all_notes(), HasSubstr("was removed or replaced"));
  EXPECT_FALSE(fs::exists(store_));
}

TEST_F(RunRecorderTest, ADamagedOrForeignStoreEndsNothing) {
  write_file(store_, std::string(5000, 'x'));
  EXPECT_THAT(error_of([&] { check_run_store(store_); }), HasSubstr("is damaged or is not"));
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 3);
  EXPECT_FALSE(recorder.finish(RunStatus::kDone));
  EXPECT_THAT(all_notes(),
              AllOf(HasSubstr("is damaged"), HasSubstr("the run store lacks 3 values")));
  EXPECT_THAT(event_steps(), ElementsAre(1, 2, 3));
}

TEST_F(RunRecorderTest, MemoryIsBounded) {
  write_file(store_, std::string(5000, 'x'));
  RunRecorderOptions small = options();
  small.most_values = 10;
  RunRecorder recorder(small);
  recorder.begin("", {});
  add(recorder, 1, 25);
  EXPECT_EQ(recorder.waiting_values(), 10u);
  fs::remove(store_);
  EXPECT_FALSE(recorder.finish(RunStatus::kDone)) << "15 are lost";
  EXPECT_EQ(stored_steps().front(), 16);
  EXPECT_EQ(record().status, RunStatus::kDone);
  EXPECT_THAT(all_notes(), HasSubstr("the oldest are dropped"));
  EXPECT_THAT(all_notes(), HasSubstr("the run store lacks 15 values: "));
}

TEST_F(RunRecorderTest, AttemptsAreRare) {
  write_file(store_, std::string(5000, 'x'));
  double now = 0;
  RunRecorderOptions slow = options();
  slow.retry_seconds = 2;
  slow.clock = [&now] { return now; };
  RunRecorder recorder(slow);
  recorder.begin("", {});
  fs::remove(store_);
  add(recorder, 1, 5);
  EXPECT_FALSE(fs::exists(store_));
  now = 2;
  add(recorder, 6, 6);
  EXPECT_EQ(stored_steps().size(), 6u);
  EXPECT_THAT(all_notes(), HasSubstr("is up to date again"));
}

TEST_F(RunRecorderTest, ARemovedTensorBoardFolderIsMadeAnew) {
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 2);
  fs::remove_all(folder_ / "runs/a/tensorboard");
  add(recorder, 3, 4);
  EXPECT_TRUE(recorder.finish(RunStatus::kDone));
  EXPECT_THAT(event_steps(), ElementsAre(3, 4));
  EXPECT_THAT(all_notes(), HasSubstr("was removed"));
  EXPECT_EQ(stored_steps().size(), 4u);
}

TEST_F(RunRecorderTest, TheNextRunOfTheNameIsLeftAlone) {
  RunRecorder recorder(options());
  recorder.begin("", {});
  add(recorder, 1, 1);
  fs::remove_all(folder_ / "runs/a");
  const RunFolder first = std::move(*run_);
  claim();
  RunRecorder next(options());
  next.begin("", {});
  add(recorder, 2, 2);
  add(next, 1, 1);
  recorder.roll_back("mine", 0);
  recorder.finish(RunStatus::kDone);
  EXPECT_EQ(record().status, RunStatus::kRunning) << "it is the next one's row";
  EXPECT_EQ(record().config_toml, "");
  EXPECT_THAT(event_steps(), ElementsAre(1));
  EXPECT_THAT(stored_steps(), ElementsAre(1));
  EXPECT_THAT(all_notes(), HasSubstr("no longer in run store"));
}

// Removed and started again before the first step of this one.
TEST_F(RunRecorderTest, ANameThatIsTakenMeanwhileIsNotTakenBack) {
  const auto first = std::make_shared<RunFolder>(std::move(*run_));
  fs::remove_all(folder_ / "runs/a");
  claim();
  RunRecorder next(options());
  next.begin("next", {});
  for (const std::optional<int64_t> step : {std::optional<int64_t>(), std::optional<int64_t>(3)}) {
    RunRecorderOptions late = options();
    late.events_folder = first->path() + "/tensorboard";
    late.is_there = [first] { return first->is_there(); };
    RunRecorder recorder(late);
    recorder.begin("late", step);
    recorder.finish(RunStatus::kDone);
  }
  EXPECT_EQ(record().config_toml, "next");
  EXPECT_EQ(record().status, RunStatus::kRunning);
  EXPECT_THAT(all_notes(), HasSubstr("the folder of a was removed"));
}

// Killed ------------------------------------------------------------------------------------------

TEST_F(RunRecorderTest, AKilledRunIsNotRunningForEver) {
  RunStore store(store_);
  store.create_run("gone", "e", "");
  store.set_status(store.create_run("done", "e", ""), RunStatus::kDone);
  store.create_run("a", "e", "");  // held by this process
  { RunFolder::claim(folder_ / "runs/dead"); }
  store.create_run("dead", "e", "");
  EXPECT_EQ(store.status_now(*store.find("a")), RunStatus::kRunning);
  EXPECT_EQ(store.status_now(*store.find("dead")), RunStatus::kKilled);
  EXPECT_EQ(store.find("dead")->status, RunStatus::kRunning) << "as stored";
  settle_killed_runs(store_);
  EXPECT_EQ(store.find("gone")->status, RunStatus::kKilled);
  EXPECT_EQ(store.find("dead")->status, RunStatus::kKilled);
  EXPECT_EQ(store.find("done")->status, RunStatus::kDone);
  EXPECT_EQ(store.find("a")->status, RunStatus::kRunning);
  EXPECT_EQ(store.settle_killed_runs(), 0);
  store.reopen_run("dead", "", 0);
  EXPECT_EQ(store.find("dead")->status, RunStatus::kRunning);
}

TEST_F(RunRecorderTest, WhoeverStartsSettlesTheOthers) {
  RunStore(store_).create_run("gone", "e", "");
  RunRecorder recorder(options());
  recorder.begin("", {});
  EXPECT_EQ(RunStore(store_).find("gone")->status, RunStatus::kKilled);
  EXPECT_EQ(record().status, RunStatus::kRunning);
}

TEST_F(RunRecorderTest, SettlingIsQuiet) {
  settle_killed_runs(store_);
  EXPECT_FALSE(fs::exists(store_)) << "none is made for it";
  RunStore(store_).create_run("gone", "e", "");
  Database other(store_, false, 0);
  const WriteTransaction lock(other);
  settle_killed_runs(store_);
  check_run_store(store_);
  EXPECT_EQ(RunStore(store_, {/*read_only=*/true}).find("gone")->status, RunStatus::kRunning);
}

// Of a file that wrote 0 for what it did not know.
TEST_F(RunRecorderTest, OlderStoresTellTheTruthToo) {
  RunStore store(store_);
  store.create_run("gone", "e", "");
  Database(store_, false, 0)
      .run("UPDATE runs SET best_step = 0, best_value = 0, status = 'interrupted'");
  EXPECT_FALSE(store.find("gone")->best_value);
  EXPECT_EQ(store.find("gone")->best_step, -1);
  store.settle_killed_runs();
  EXPECT_EQ(Database(store_, true, 0)
                .integer("SELECT count(*) FROM runs WHERE best_value IS NULL AND best_step = -1"),
            1);
}

}  // namespace
}  // namespace fathom
