// What a team does before each release. Plain data and pure functions: no screen is needed to reason about them.

export const initialTasks = [
  { id: 'version', title: 'Raise the version number', done: false },
  { id: 'notes', title: 'Write the release notes', done: false },
  { id: 'build', title: 'Build on our own machines', done: true },
  { id: 'test', title: 'Try it on a real phone', done: false },
];

export function toggle(tasks, id) {
  return tasks.map((task) => (task.id === id ? { ...task, done: !task.done } : task));
}

export function progress(tasks) {
  return { done: tasks.filter((task) => task.done).length, total: tasks.length };
}
