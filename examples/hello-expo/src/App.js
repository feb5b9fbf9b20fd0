import { useState } from 'react';
import { SafeAreaView, StyleSheet } from 'react-native';

import TabBar from './components/TabBar';
import ChecklistScreen from './screens/ChecklistScreen';
import WelcomeScreen from './screens/WelcomeScreen';
import { initialTasks, progress, toggle } from './checklist';
import { colors } from './theme';

const tabs = [
  { key: 'welcome', title: 'Welcome' },
  { key: 'checklist', title: 'Checklist' },
];

export default function App() {
  const [tab, setTab] = useState('welcome');
  const [tasks, setTasks] = useState(initialTasks);

  return (
    <SafeAreaView style={styles.app}>
      {tab === 'welcome' ? (
        <WelcomeScreen progress={progress(tasks)} onContinue={() => setTab('checklist')} />
      ) : (
        <ChecklistScreen tasks={tasks} onToggle={(id) => setTasks((now) => toggle(now, id))} />
      )}
      <TabBar tabs={tabs} selected={tab} onSelect={setTab} />
    </SafeAreaView>
  );
}

const styles = StyleSheet.create({
  app: { flex: 1, backgroundColor: colors.background },
});
