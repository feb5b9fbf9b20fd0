export const colors = {
  background: '#f6f7f9',
  card: '#ffffff',
  text: '#14213d',
  muted: '#6b7280',
  accent: '#2f6fed',
  line: '#e5e7eb',
};

export const space = { small: 8, medium: 16, large: 32 };
